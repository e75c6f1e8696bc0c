"""The scores of an evaluation: distributions, draws and recalls, each checked."""

from __future__ import annotations

import json
import math

from ltbench.report.records.checks import Malformed, Node
from ltbench.report.records.schema import (
    GROUPS,
    Diagnostics,
    Distribution,
    Draw,
    ExactScore,
    PriorError,
    Recalls,
)

_SAME = 1e-9  # points; one image more or less in a million moves a mean by 1e-4


def canonical(value: object) -> str:
    """One text per JSON value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def parse_distribution(name: str, node: Node, experts: int, classes: int) -> Distribution:
    definition = node.at("definition")
    ratio = definition.get("ratio")
    kind = definition.at("kind").text()
    if ratio is None and kind in ("forward", "backward"):
        raise Malformed(f"{definition.where}.ratio is missing")
    draws = sorted(
        (_draw(number, draw, experts, classes) for number, draw in node.at("draws").entries()),
        key=lambda draw: draw.number,
    )
    if not draws:
        raise Malformed(f"{node.where}.draws is empty")
    # Recalls stand inside the only draw or beside the draws, as the mean over them.
    first = next(iter(node.at("draws").entries()))[1]
    holder = node if node.get("per_class") else first
    single = holder.get("experts")
    counts = definition.get("counts") or node.get("counts")
    found = definition.get("as_found") or node.get("as_found")
    correct = node.get("correct")
    labels = node.get("labels")
    agreement = holder.get("agreement")
    return Distribution(
        name=name,
        kind=kind,
        ratio=None if ratio is None else ratio.number(low=1e-12),
        definition=canonical(definition.value),
        draws=tuple(draws),
        recalls=_recalls(holder, classes) if holder.get("per_class") else None,
        experts=tuple(_recalls(item, classes) for item in single.items(experts)) if single else (),
        counts=tuple(item.integer(low=0) for item in counts.items(classes)) if counts else None,
        found=tuple(item.integer(low=0) for item in found.items(classes))
        if found and isinstance(found.value, list)
        else None,
        correct=correct.text(empty=True) if correct else "",
        labels=labels.text(empty=True) if labels else "",
        agreement=_agreement(agreement, experts) if agreement else (),
    )


def _agreement(node: Node, experts: int) -> tuple[dict[str, float | None], ...]:
    return tuple(
        {name: _maybe(item.get(name), None) for name in (*GROUPS, "all")}
        for item in node.at("experts").items(experts)
    )


def _draw(number: str, node: Node, experts: int, classes: int) -> Draw:
    if not (number.isascii() and number.isdecimal()):
        raise Malformed(f"{node.where}: {number!r} is not a draw's number")
    error, exact = node.get("prior_error"), node.get("exact")
    return Draw(
        number=int(number),
        n=node.at("n").integer(low=0),
        top1=node.at("top1").per_cent(),
        macro=_maybe(node.get("macro"), 100.0),
        nll=_nll(node),
        ece=_maybe(node.get("ece"), 100.0),
        brier=_maybe(node.get("brier"), None),
        top5=_maybe(node.get("top5"), 100.0),
        expert_top1=_vector(node.get("expert_top1"), experts, 100.0),
        expert_weights=_vector(node.get("expert_weights"), experts, None),
        prior_error=_prior_error(error) if error else None,
        exact=ExactScore(exact.at("top1").per_cent(), exact.at("se").number(low=0))
        if exact
        else None,
        prior=_vector(node.get("prior"), classes, None),
        prior_groups=_prior_groups(node.get("prior_groups")),
        diagnostics=_diagnostics(node.get("diagnostics")),
    )


def _diagnostics(node: Node | None) -> Diagnostics | None:
    if node is None or not isinstance(node.value, dict):
        return None
    return Diagnostics(**{name: node.value.get(name) for name in Diagnostics.__struct_fields__})


def _nll(node: Node) -> float | None:
    """Whoever writes the key has measured it: null is infinite, which JSON lacks."""
    if not node.has("nll"):
        return None
    found = node.get("nll")
    return math.inf if found is None else found.number()


def _prior_error(node: Node) -> PriorError:
    divergence = node.get("kl")
    return PriorError(node.at("l1").number(low=0), divergence.number(low=0) if divergence else None)


def _prior_groups(node: Node | None) -> dict[str, float] | None:
    return None if node is None else {name: share.number(low=0) for name, share in node.entries()}


def _maybe(node: Node | None, high: float | None) -> float | None:
    if node is None:
        return None
    return node.per_cent() if high == 100.0 else node.number()


def _vector(node: Node | None, length: int, high: float | None) -> tuple[float, ...] | None:
    if node is None:
        return None
    return tuple(
        item.per_cent() if high == 100.0 else item.number(low=0) for item in node.items(length)
    )


def _recalls(node: Node, classes: int) -> Recalls:
    groups = node.at("groups")
    per_class = node.at("per_class")
    return Recalls(
        per_class=tuple(_none_or_per_cent(item) for item in per_class.items(classes)),
        groups=one_number({name: _maybe(groups.get(name), 100.0) for name in (*GROUPS, "all")}),
    )


def one_number(groups: dict[str, float | None]) -> dict[str, float | None]:
    """A group of all classes has the number of ``all``: a mean of recalls and a share of images differ
    in the last bits, which a printed decimal may show."""
    whole = groups["all"]
    if whole is None:
        return groups
    return {
        name: whole if value is not None and abs(value - whole) <= _SAME else value
        for name, value in groups.items()
    }


def _none_or_per_cent(node: Node) -> float | None:
    return None if node.value is None else node.per_cent()
