"""The bias of a training posterior, as a record tells it: its kind, and its error where it is an estimate."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.report.records.checks import Malformed, Node

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
