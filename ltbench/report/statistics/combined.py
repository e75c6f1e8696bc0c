"""Accuracies with intervals that cover training seeds and test images, and which is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import Summary
from ltbench.report.statistics.comparison import tied_with_best
from ltbench.report.statistics.components import Components, components
from ltbench.report.statistics.strata import RowBits, rows_bits


@dataclass(frozen=True)
class Combined:
    """cell: accuracy (%) on draw 0; share: of its variance, how much stems from the images."""

    cell: Summary
    share: float
    stratified: bool


def combined_intervals(rows: Sequence[Row], name: str) -> dict[str, Combined]:
    """Of every row with three seeds or more. Best: of those that do not know the true prior.

    A row ties with the best where their paired difference, on the seeds and images of both, is within
    its own variance of seeds and images (Holm's correction over the rows). None is best where all
    tie.
    """
    measured = {found.row.label: found for found in rows_bits(rows, name)}
    known = {
        label: c
        for label, found in measured.items()
        if (c := components(found.points(found.seeds), found.sizes))
    }
    ranked = [label for label in known if not measured[label].row.uses_true_prior]

    def p_value(index: int, leader: int) -> float | None:
        found = difference(measured[ranked[index]], measured[ranked[leader]])
        return None if found is None else found.p

    tied = tied_with_best([known[label].mean for label in ranked], p_value)
    best = {ranked[index] for index in tied} if len(tied) < len(ranked) else set()
    return {
        label: Combined(
            Summary(c.mean, c.half_width, len(measured[label].seeds), label in best),
            _share(c),
            len(measured[label].sizes) > 1,
        )
        for label, c in known.items()
    }


def difference(first: RowBits, second: RowBits) -> Components | None:
    """First minus second in points, seed by seed and image by image; None below three seeds of both."""
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    if first.sizes != second.sizes:
        return None
    return components(first.points(seeds) - second.points(seeds), first.sizes)


def _share(c: Components) -> float:
    return min(1.0, max(0.0, c.images - c.rest) / c.variance) if c.variance else 0.0
