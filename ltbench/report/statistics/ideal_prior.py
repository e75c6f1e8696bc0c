"""Puts accuracies of adaptive rows on the footing of fixed ones under the ideal prior.

The page's shift control knows fixed predictors under the ideal prior of any imbalance ratio, adaptive
ones on the stored test sets alone, which have the realised counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltbench.report.rows.position import position
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import mean_of
from ltbench.report.statistics.adaptation import common_top1, unadapted


def class_weights(places: Sequence[int | None], x: float) -> list[float]:
    """The ideal prior, which has no whole numbers of images.

    ``pi_c`` proportional to ``exp(-|x| k / (C - 1))``, k the place of c, reversed for x > 0.
    ``places`` counts from the most frequent class; a class without a place weighs nothing.
    """
    last = max(1, sum(place is not None for place in places) - 1)
    weights = [
        0.0 if k is None else math.exp(-abs(x) * (last - k if x > 0 else k) / last) for k in places
    ]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def stored_top1(
    row: Row, section: Section, test: TestSet, places: Sequence[int | None]
) -> float | None:
    """The stored mean of an adaptive row, moved from its realised counts to the ideal prior.

    Stored sets have whole numbers of images, the ideal prior has none; the difference (tenths of a
    point) would rank one kind above the other. Per seed: ``adapted + (ideal - drawn)``, the bracket
    of ``none`` of the same trial on the same draws. Where a seed lacks it, the stored mean itself.
    """
    weights = class_weights(places, position(test))
    stored: list[float] = []
    level: list[float] = []
    for seed, adapted in sorted(row.results.get(test.name, {}).items()):
        plain = unadapted(row.latest[seed], section, test.name)
        after, before = common_top1(adapted, plain)
        ideal = _ideal_plain(row, section, seed, weights)
        stored.append(after)
        if before is not None and ideal is not None:
            level.append(after + ideal - before)
    return mean_of(level if len(level) == len(stored) else stored)


def _ideal_plain(row: Row, section: Section, seed: int, weights: Sequence[float]) -> float | None:
    plain = unadapted(row.latest[seed], section, section.uniform or "")
    if plain is None or plain.recalls is None:
        return None
    known = plain.recalls.per_class
    if any(r is None and w for r, w in zip(known, weights, strict=True)):
        return None
    return math.fsum(w * (r or 0.0) for r, w in zip(known, weights, strict=True))
