"""The prior that the logits of a trial were measured to carry, as its record tells it."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.report.records.checks import Malformed, Node

SOURCES = ("holdout", "training")

Ratios = tuple[float | None, ...]
"""Mean posterior over prior of the many, medium and few-shot classes; None for a group without images."""


@dataclass(frozen=True)
class CarriedPrior:
    """mean: of the experts' mean of corrected logits, which strategies reason about, with its standard
    error; source: whether ``images`` are held out or were trained on."""

    source: str
    images: int
    mean: Ratios
    error: Ratios
    experts: tuple[Ratios, ...]


def parse_carried(node: Node | None) -> CarriedPrior | None:
    """None where the record is older, or says that nothing could be measured."""
    if node is None:
        return None
    if node.has("unknown"):
        node.at("unknown").text()
        return None
    source = node.at("source").text()
    if source not in SOURCES:
        raise Malformed(f"{node.where}.source is {source!r}, not one of: {', '.join(SOURCES)}")
    experts = tuple(_ratios(item) for item in node.at("experts").items())
    if not experts:
        raise Malformed(f"{node.where}.experts is empty")
    mean, error = _ratios(node.at("mean")), _ratios(node.at("error"))
    return CarriedPrior(source, node.at("images").integer(low=1), mean, error, experts)


def _ratios(node: Node) -> Ratios:
    found = [node.get(group) for group in ("many", "medium", "few")]
    return tuple(None if ratio is None else ratio.number(low=0) for ratio in found)
