"""Biases that are estimates: read from records, and told in footnotes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltbench.report.records.checks import Malformed, Node
from ltbench.report.rows.summary import mean_of

if TYPE_CHECKING:
    from ltbench.report.rows.rows import Row

ESTIMATE_MARK = "‡"
KINDS = ("closed-form", "fitted", "reference")


@dataclass(frozen=True)
class BiasEstimate:
    """kind: ``fitted`` or ``reference``; kappa and kappa_error per expert, empty where there is none;
    median_error and largest_error: standard errors of the entries of b, nats."""

    kind: str
    kappa: tuple[float, ...] = ()
    kappa_error: tuple[float, ...] = ()
    median_error: float | None = None
    largest_error: float | None = None


def parse_bias_kind(node: Node | None) -> str:
    """The kind that a record's ``bias`` block states; empty where there is no block."""
    if node is None:
        return ""
    kind = node.at("kind").text()
    if kind not in KINDS:
        raise Malformed(f"{node.where}.kind is {kind!r}, not one of: {', '.join(KINDS)}")
    return kind


def parse_bias(node: Node | None, experts: int, classes: int) -> BiasEstimate | None:
    """What the ``bias`` block says where it is an estimate."""
    kind = parse_bias_kind(node)
    if node is None or kind == "closed-form":
        return None
    error = node.get("error")
    errors: list[float] = []
    if error is not None:
        for row in error.items(experts):
            errors += [item.number(low=0) for item in row.items(classes)]
    errors.sort()
    return BiasEstimate(
        kind,
        _per_expert(node.get("kappa"), experts),
        _per_expert(node.get("kappa_error"), experts),
        errors[len(errors) // 2] if errors else None,
        errors[-1] if errors else None,
    )


def _per_expert(node: Node | None, experts: int) -> tuple[float, ...]:
    return () if node is None else tuple(item.number(low=0) for item in node.items(experts))


def bias_note(row: Row) -> str | None:
    """The footnote of a row that stands on an estimated bias; None for every other row."""
    kinds = {estimate.kind for estimate in row.biases.values()}
    if "reference" in kinds:
        return (
            f"{ESTIMATE_MARK} {row.label}: no hold-out to fit the prior in the logits on, the method's"
            " reference is taken as it is (kappa = 1): unreliable, excluded from regret"
        )
    if not kinds:
        return None
    text = f"{ESTIMATE_MARK} {row.label}: prior in the logits fitted on held-out training images"
    return f"{text}, an estimate; {describe_estimates(row.biases)}"


def describe_estimates(estimates: Mapping[int, BiasEstimate]) -> str:
    """``"kappa 0.21 ± 0.10, ...; standard error of b 0.10 nats (median), 0.35 (largest), seed 0"``."""
    found = list(estimates.values())
    parts = []
    if all(estimate.kappa and estimate.kappa_error for estimate in found):
        experts = range(len(found[0].kappa))
        values = [
            f"{mean_of(f.kappa[e] for f in found):.2f} ± {mean_of(f.kappa_error[e] for f in found):.2f}"
            for e in experts
        ]
        parts.append(f"kappa {', '.join(values)} (experts; ± standard error)")
    median = mean_of(estimate.median_error for estimate in found)
    largest = max((e.largest_error for e in found if e.largest_error is not None), default=None)
    if median is not None and largest is not None:
        parts.append(f"standard error of b {median:.2f} nats (median), {largest:.2f} (largest)")
    seeds = f"mean over {len(found)} seeds" if len(found) > 1 else f"seed {min(estimates)}"
    return f"{'; '.join(parts)}; {seeds}"
