"""Class counts of long-tailed sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def exponential_counts(n_max: int, imbalance: float, classes: int) -> Counts:
    """Images per rank of an exponential long-tailed profile, most frequent first.

    n_j = int(n_max * (1 / R) ** (j / (C - 1))), j = 0..C-1, R = ``imbalance``; at least 0.
    Returns ``(C,)`` int64. The order of operations is that of LDAM-DRW's and SADE's
    ``imbalance_cifar.py``, since truncation makes the last bit count. Only where it would leave a
    class nothing though the quotient is 1 (49 * (1 / 49) is below 1 in floating point), n_j is 1.
    """
    factor = 1.0 / imbalance
    if classes == 1:
        return np.array([n_max], dtype=np.int64)
    sizes = [n_max * (factor ** (j / (classes - 1.0))) for j in range(classes)]
    return np.array([1 if _is_one(size) else int(size) for size in sizes], dtype=np.int64)


def _is_one(size: float) -> bool:
    """Whether ``size`` is 1 up to the rounding of a quotient, a power and a product."""
    return abs(size - 1.0) <= _ROUNDING


def largest_count(most: NDArray[np.float64], counts_of: Callable[[int], Counts]) -> int:
    """The largest n_max of a profile that every class can follow.

    most ``(C,)``: the n_max that each class's images allow, n_c divided by the class's share; counts_of:
    n_max to the profile's counts. It is the least of ``most``, truncated; where that leaves a class
    nothing although the least is a whole number but for rounding (25 * 125^(1/3) comes out below 125),
    it is that whole number.
    """
    least = float(most.min())
    nearest = round(least)
    whole = abs(least - nearest) <= _ROUNDING * nearest
    return nearest if whole and counts_of(int(least)).min() < 1 else int(least)


def training_rank(counts: Counts) -> Counts:
    """Rank of each class by training count, 0 the most frequent; ties by class index. ``(C,)``."""
    order = np.argsort(-counts, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(counts))
    return rank


def prior(counts: Counts) -> NDArray[np.float64]:
    """Relative frequencies ``(C,)`` of the realised counts; sums to 1."""
    frequencies: NDArray[np.float64] = counts / counts.sum()
    return frequencies
