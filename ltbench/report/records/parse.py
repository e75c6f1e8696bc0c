"""Checks that turn the JSON of docs/records.md (schema 1) into typed records.

A record that fails a check raises :class:`Malformed` with the place and the reason, so that a
damaged file is listed as unreadable and never becomes a traceback or a silent number.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import msgspec

from ltbench.report.records.bias import parse_bias, parse_bias_kind
from ltbench.report.records.carried import parse_carried
from ltbench.report.records.checks import Malformed, Node
from ltbench.report.records.encoder import parse_encoder
from ltbench.report.records.plain_distributions import plain_distributions
from ltbench.report.records.schema import (
    GROUPS,
    Cost,
    Distribution,
    Evaluation,
    Failure,
    ProtocolName,
    Training,
    Trial,
)
from ltbench.report.records.scores import canonical, parse_distribution
from ltbench.train.speed import WORDS
from ltbench.trial.asked_code import Code
from ltbench.trial.endings import ENDINGS
from ltbench.trial.ensemble_record import KEY, codes_of_member

SCHEMA = 1


def check_schema(root: Node) -> None:
    """Refuses records of a later ltbench; there was none before schema 1."""
    schema = root.at("schema").integer(low=1)
    if schema > SCHEMA:
        raise Malformed(f"schema {schema} is newer than {SCHEMA}, the newest known here")


def parse_trial(root: Node) -> Trial:
    check_schema(root)
    status = root.at("status").text()
    if status != "finished":
        raise Malformed(f"status is {status!r}, not 'finished'")
    environment, data = root.get("environment"), root.get("data")
    return Trial(
        trial=root.at("trial").text(),
        protocol=parse_protocol(root.at("protocol")),
        training=_training(root.at("training"), root.get("identity")),
        seed=root.at("seed").integer(low=0),
        created=optional_text(root, "created"),
        device=optional_text(environment, "device") if environment else "",
        torch=optional_text(environment, "torch") if environment else "",
        rules=_rules(root.get("identity")),
        source=optional_text(data, "source") if data else "",
        ltbench=optional_text(environment, "ltbench") if environment else "",
        cost=_cost(root.get("cost")),
        member_trials=_member_trials(root.get(KEY)),
        member_codes=_member_codes(root.get(KEY)),
        carried=parse_carried(root.get("carried_prior")),
        encoder=parse_encoder(data.get("encoder")) if data else None,
        images_fingerprint=optional_text(data, "images_fingerprint") if data else "",
        arithmetic=_arithmetic(environment) if environment else "",
        speed=_speed(environment) if environment else (),
    )


def _speed(environment: Node) -> tuple[str, ...]:
    switches = ((environment.get(key), word) for word, key in WORDS.items())
    return tuple(word for switch, word in switches if switch is not None and switch.boolean())


def _arithmetic(environment: Node) -> str:
    """What float32 meant there. Records of a GPU that tell no more were trained as PyTorch does."""
    device, told = optional_text(environment, "device"), environment.get("tf32")
    if told is not None:
        allowed = [
            name.replace("_", " ")
            for name in ("convolutions", "matrix_products")
            if told.at(name).boolean()
        ]
        return f"TF32 in {' and '.join(allowed)}" if allowed else "float32 without TF32"
    if not device:
        return ""
    if device in ("cpu", "mps"):
        return "float32 without TF32"
    return "TF32 in convolutions"  # PyTorch's default, which was never changed


def parse_failure(root: Node) -> Failure:
    check_schema(root)
    status = root.at("status").text()
    if status not in ENDINGS:
        raise Malformed(f"status is {status!r}, none of: {', '.join(ENDINGS)}")
    data = root.get("data")
    return Failure(
        status=status,
        protocol=parse_protocol(root.at("protocol")),
        training=_training(root.at("training"), None),
        seed=root.at("seed").integer(low=0),
        error=optional_text(root, "error"),
        precision=optional_text(root, "precision") or None,
        fingerprints=_fingerprints(data) if data else None,
    )


class Conditions(NamedTuple):
    """What thousands of records share to the letter."""

    protocol: ProtocolName
    train_fingerprint: str
    test_fingerprint: str
    recipe: str
    experts: int
    parameters: int | None
    macs: int | None
    train_counts: tuple[int, ...]
    rank: tuple[int, ...]
    class_names: tuple[str, ...]
    groups: dict[str, tuple[int, ...]]


CONDITIONS = (
    "protocol", "data", "recipe", "model", "train_counts", "rank", "class_names", "groups",
)  # fmt: skip
"""The keys of a record that :func:`parse_conditions` reads."""


def parse_conditions(root: Node) -> Conditions:
    model = root.at("model")
    experts = model.at("experts").integer(low=1)
    counts = tuple(node.integer(low=0) for node in root.at("train_counts").items())
    classes = len(counts)
    rank = tuple(node.integer(low=0) for node in root.at("rank").items(classes))
    if sorted(rank) != list(range(classes)):
        raise Malformed("rank is not an order of the classes")
    train_fingerprint, test_fingerprint = _fingerprints(root.at("data"))
    return Conditions(
        protocol=parse_protocol(root.at("protocol")),
        train_fingerprint=train_fingerprint,
        test_fingerprint=test_fingerprint,
        recipe=canonical(root.at("recipe").value),
        experts=experts,
        parameters=_parameters(model),
        macs=_optional_integer(model, "macs"),
        train_counts=counts,
        rank=rank,
        class_names=tuple(node.text(empty=True) for node in root.at("class_names").items(classes)),
        groups={name: _members(root.at("groups").at(name), classes) for name in GROUPS},
    )


def parse_evaluation(
    root: Node,
    trial: Trial,
    scores: bytes | msgspec.Raw | None = None,
    conditions: Conditions | None = None,
) -> Evaluation:
    """``trial`` is the record of the folder it lies in; one that names another is refused.

    ``scores``: the JSON of ``distributions``, ``conditions``: what :func:`parse_conditions` reads, where
    ``root`` is without them.
    """
    check_schema(root)
    if root.at("trial").text() != trial.trial:
        raise Malformed(f"belongs to trial {root.at('trial').text()}, not to {trial.trial}")
    if root.at("seed").integer(low=0) != trial.seed:
        raise Malformed(f"seed {root.at('seed').integer()} is not the trial's, {trial.seed}")
    c = conditions or parse_conditions(root)
    experts, classes = c.experts, len(c.train_counts)
    distributions = _distributions(root, scores, experts, classes)
    if not distributions:
        raise Malformed("distributions is empty")
    return Evaluation(
        evaluation=root.at("evaluation").text(),
        trial=trial,
        seed=trial.seed,
        method=root.at("method").text(),
        method_params=root.at("method_params").text(empty=True),
        strategy=root.at("strategy").text(),
        strategy_params=root.at("strategy_params").text(empty=True),
        label=root.at("label").text(),
        title=root.at("title").text(empty=True),
        uses_true_prior=root.at("uses_true_prior").boolean(),
        mode=root.at("mode").text(),
        precision=root.at("precision").text(),
        created=optional_text(root, "created") or trial.created,
        versions="/".join(
            _optional_number(root, f"{what}_version") for what in ("method", "strategy")
        ),
        distributions=distributions,
        bias_kind=parse_bias_kind(root.get("bias")),
        bias=parse_bias(root.get("bias"), experts, classes),
        first_draw_only=(first := root.get("first_draw_only")) is not None and first.boolean(),
        **c._asdict(),
        seconds=_optional_float(root, "seconds"),
        method_digest=method_digest(root, trial),
        strategy_digest=optional_text(root, "strategy_digest"),
        method_origin=optional_text(root, "method_origin"),
        strategy_origin=optional_text(root, "strategy_origin"),
        left_out=_texts(root.get("left_out")),
    )


def _texts(node: Node | None) -> dict[str, str]:
    return {} if node is None else {name: item.text() for name, item in node.entries()}


def _distributions(
    root: Node, scores: bytes | msgspec.Raw | None, experts: int, classes: int
) -> tuple[Distribution, ...]:
    if scores is not None:
        plain = plain_distributions(scores, experts, classes)
        if plain is not None:
            return plain
        root = Node({"distributions": json.loads(bytes(scores))})
    return tuple(
        parse_distribution(name, node, experts, classes)
        for name, node in root.at("distributions").entries()
    )


def _parameters(model: Node) -> int | None:
    """None for imported outputs: nobody told how large the network is."""
    found = model.get("parameters")
    return None if found is None else found.integer(low=0)


def _members(node: Node, classes: int) -> tuple[int, ...]:
    return tuple(item.integer(low=0, high=classes - 1) for item in node.items())


def parse_protocol(node: Node) -> ProtocolName:
    """The ``protocol`` block of any record."""
    version = node.at("version").value
    if isinstance(version, bool) or not isinstance(version, int | float | str):
        raise Malformed(f"{node.where}.version is neither a number nor a text")
    variant = node.get("variant")
    return ProtocolName(
        name=node.at("name").text(),
        version=str(version),
        title=optional_text(node, "title"),
        variant=variant.text(empty=True) if variant else "",
    )


def method_digest(root: Node, trial: Trial) -> str:
    """Of the evaluating method; an older record does not tell, but where it is the one trained."""
    if root.get("method_digest") is None and root.at("method").text() == trial.training.name:
        return trial.training.digest or ""
    return optional_text(root, "method_digest")


def _training(node: Node, identity: Node | None) -> Training:
    hyper = node.get("hyper")
    version = node.get("version")
    return Training(
        name=node.at("name").text(),
        hyper=canonical({key: item.value for key, item in hyper.entries()} if hyper else {}),
        version="" if version is None else str(version.value),
        origin=optional_text(node, "origin"),
        digest=_training_digest(node, identity),
    )


def _member_trials(node: Node | None) -> tuple[str, ...]:
    if node is None:
        return ()
    return tuple(member.at("trial").text() for member in node.at("members").items())


def _member_codes(node: Node | None) -> tuple[Code, ...]:
    found: dict[Code, None] = {}
    for member in [] if node is None else node.at("members").items():
        method = member.get("method")
        if method is None or optional_text(method, "origin") == "imported":
            continue
        codes = codes_of_member(
            method.at("name").text(),
            optional_text(method, "digest"),
            member.at("training").text(),
            optional_text(member, "training_digest"),
        )
        found |= dict.fromkeys(codes)
    return tuple(found)


def _training_digest(node: Node, identity: Node | None) -> str | None:
    """Records of an older ltbench tell it in the identity alone, failed ones do not."""
    hashed = identity.get("training") if identity is not None else None
    for holder in (node, hashed):
        found = None if holder is None else holder.get("digest")
        if found is not None:
            return found.text(empty=True)
    return None


def _fingerprints(node: Node) -> tuple[str, str]:
    return node.at("train_fingerprint").text(), node.at("test_fingerprint").text()


def _rules(identity: Node | None) -> str:
    if identity is None:
        return ""
    values = {key: item.value for key, item in identity.entries()}
    return canonical({key: values.get(key) for key in ("data", "train", "model")})


def _cost(node: Node | None) -> Cost:
    if node is None:
        return Cost()
    seconds = node.get("seconds")
    return Cost(
        training_seconds=_optional_float(seconds, "training") if seconds else None,
        inference_seconds=_optional_float(seconds, "inference") if seconds else None,
        images_per_second=_optional_float(node, "images_per_second"),
        epochs=_optional_integer(node, "epochs"),
        peak_memory_bytes=_optional_integer(node, "peak_memory_bytes"),
    )


def _optional_float(node: Node, key: str) -> float | None:
    found = node.get(key)
    return None if found is None else found.number(low=0)


def _optional_integer(node: Node, key: str) -> int | None:
    found = node.get(key)
    return None if found is None else found.integer(low=0)


def _optional_number(node: Node, key: str) -> str:
    found = node.get(key)
    return "" if found is None else str(found.integer(low=0))


def optional_text(node: Node, key: str) -> str:
    found = node.get(key)
    return "" if found is None else found.text(empty=True)
