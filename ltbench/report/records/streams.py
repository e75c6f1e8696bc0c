"""Stream records (``streams/*.json``) as the report sees them: checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ltbench.report.records.bits import Bits, unpacked
from ltbench.report.records.checks import Malformed, Node
from ltbench.report.records.parse import check_schema, method_digest, optional_text, parse_protocol
from ltbench.report.records.schema import ProtocolName, Trial
from ltbench.report.records.scores import canonical

PREDICTS = ("before", "after", "fixed")
_IDENTITY = ("method_params", "strategy_params", "method_version", "strategy_version", "recipe")


@dataclass(frozen=True)
class Stream:
    """One order of one test set. ``correct``: in the order of arrival; ``top1`` in per cent."""

    name: str
    kind: str
    order: str
    n: int
    top1: float
    correct: Bits


@dataclass(frozen=True)
class StreamRecord:
    """One row on one trial under one arrival; ``streams[distribution, order]``."""

    trial: Trial
    protocol: ProtocolName
    seed: int
    label: str
    method: str
    mode: str
    precision: str
    train_fingerprint: str
    test_fingerprint: str
    uses_true_prior: bool
    created: str
    identity: str
    """Training, rules, recipe and versions as one text: only equal ones are averaged over seeds."""
    arrival: str
    predicts: str
    drift: float
    streams: Mapping[tuple[str, str], Stream]
    method_params: str = ""
    strategy: str = ""
    strategy_params: str = ""
    method_digest: str = ""
    strategy_digest: str = ""
    method_origin: str = ""
    strategy_origin: str = ""
    content: str = ""
    """Digest of the file."""


def parse_stream(root: Node, trial: Trial) -> StreamRecord:
    """``trial`` is the record of the folder it lies in; one that names another is refused."""
    check_schema(root)
    if root.at("trial").text() != trial.trial:
        raise Malformed(f"belongs to trial {root.at('trial').text()}, not to {trial.trial}")
    predicts = root.at("predicts").text()
    if predicts not in PREDICTS:
        raise Malformed(f"predicts is {predicts!r}, not one of: {', '.join(PREDICTS)}")
    created = root.get("created")
    streams = {
        (name, order): _stream(name, order, entry.at("definition").at("kind").text(), node)
        for name, entry in root.at("distributions").entries()
        for order, node in entry.at("orders").entries()
    }
    if not streams:
        raise Malformed("distributions is empty")
    return StreamRecord(
        trial=trial,
        protocol=parse_protocol(root.at("protocol")),
        seed=trial.seed,
        label=root.at("label").text(),
        method=root.at("method").text(),
        mode=root.at("mode").text(),
        precision=root.at("precision").text(),
        train_fingerprint=root.at("data").at("train_fingerprint").text(),
        test_fingerprint=root.at("data").at("test_fingerprint").text(),
        uses_true_prior=root.at("uses_true_prior").boolean(),
        created=created.text(empty=True) if created else "",
        identity=canonical(
            [
                *(_training(trial), *(_value(root, key) for key in _IDENTITY)),
                *(method_digest(root, trial), optional_text(root, "strategy_digest")),
            ]
        ),
        arrival=root.at("arrival").text(),
        predicts=predicts,
        drift=root.at("drift").number(low=1),
        streams=streams,
        **{key: _text(root, key) for key in ("method_params", "strategy", "strategy_params")},
        method_digest=method_digest(root, trial),
        strategy_digest=optional_text(root, "strategy_digest"),
        method_origin=optional_text(root, "method_origin"),
        strategy_origin=optional_text(root, "strategy_origin"),
    )


def _training(trial: Trial) -> list[str]:
    training = trial.training
    return [training.name, training.hyper, training.version, training.digest or "", trial.rules]


def _value(root: Node, key: str) -> object:
    found = root.get(key)
    return None if found is None else found.value


def _text(root: Node, key: str) -> str:
    found = root.get(key)
    return "" if found is None else found.text(empty=True)


def _stream(name: str, order: str, kind: str, node: Node) -> Stream:
    n = node.at("n").integer(low=1)
    correct = unpacked(node.at("correct").text(), n)
    if correct is None:
        raise Malformed(f"{node.where}.correct does not hold the bits of {n} images")
    return Stream(name, kind, order, n, node.at("top1").per_cent(), correct)
