"""Class counts of long-tailed sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def exponential_counts(n_max: int, imbalance: float, classes: int) -> Counts:
    """Images per rank of an exponential long-tailed profile, most frequent first.

    n_j = int(n_max * (1 / R) ** (j / (C - 1))), j = 0..C-1, R = ``imbalance``; at least 0.
    Returns ``(C,)`` int64. The order of operations is that of LDAM-DRW's and SADE's
    ``imbalance_cifar.py``, since truncation makes the last bit count.
    """
    factor = 1.0 / imbalance
    if classes == 1:
        return np.array([n_max], dtype=np.int64)
    return np.array(
        [int(n_max * (factor ** (j / (classes - 1.0)))) for j in range(classes)], dtype=np.int64
    )


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
