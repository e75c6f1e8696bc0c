"""Thousands of classes as two hundred bins by training rank, for figures and pages.

A bin's recall is the mean of its classes' recalls. Tables and group means stay exact: they never see a bin.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ltbench.report.rows.summary import mean_of

SHOWN_CLASSES = 1000
"""Up to here each class is shown by itself."""
BINS = 200


def rank_bins(order: Sequence[int]) -> list[list[int]]:
    """Classes in the order given, most frequent first, to bins of sizes that differ by one at most.

    A bin for each class up to :data:`SHOWN_CLASSES`, else :data:`BINS`, the larger ones first.

    >>> rank_bins([2, 0, 1])
    [[2], [0], [1]]
    """
    number = len(order) if len(order) <= SHOWN_CLASSES else BINS
    if number == 0:
        return []
    size, larger = divmod(len(order), number)
    starts = [k * size + min(k, larger) for k in range(number + 1)]
    return [list(order[a:b]) for a, b in itertools.pairwise(starts)]


def bin_means(values: Sequence[float | None], bins: Sequence[Sequence[int]]) -> list[float | None]:
    """The mean of what there is of ``values`` ``(C,)`` in each bin; None where there is nothing."""
    return [
        values[members[0]] if len(members) == 1 else mean_of(values[c] for c in members)
        for members in bins
    ]
