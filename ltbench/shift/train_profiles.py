"""Training profiles beside the exponential one: a step between two halves, and a Pareto tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltbench.shift.profiles import Counts, exponential_counts

_NOTHING = 1e-9  # images; less than a count can differ by but for rounding of the last bit


def profile_counts(
    profile: str, n_max: int, imbalance: float, classes: int, power: float = 6.0
) -> Counts:
    """Images per rank of ``profile``, most frequent first. ``(C,)`` int64, at least 0.

    profile: ``exponential`` (:func:`ltbench.shift.profiles.exponential_counts`), ``step`` or
    ``pareto``; n_max: images of the largest class; power: of ``pareto``.
    """
    if profile == "exponential":
        return exponential_counts(n_max, imbalance, classes)
    counts = n_max * profile_shares(profile, imbalance, classes, power)
    return np.floor(counts + _NOTHING).astype(np.int64)


def profile_shares(
    profile: str, imbalance: float, classes: int, power: float = 6.0
) -> NDArray[np.float64]:
    """Images of each rank over those of rank 0, before truncation: ``(C,)``, from 1 down to 1 / R.

    exponential: s_j = R^(-j / (C - 1)).

    step: s_j = 1 for j < floor(C / 2), else 1 / R: LDAM-DRW's ``imb_type = "step"`` (its list is one
    class short where C is odd; here that class belongs to the tail).

    pareto: s_j = 1/R + (1 - 1/R) (q_j - q_{C-1}) / (q_0 - q_{C-1}), q_j = ((j + 1/2) / C)^(-1/a): the
    quantiles of a Pareto distribution of power a, shifted and scaled so that the largest class is R
    times the smallest. OLTR names a Pareto distribution with a = 6 for ImageNet-LT and publishes no
    formula: C = 1000, n_max = 1280, R = 256 give 104,345 images here and 115,846 in its list; classes
    with more than 100 and fewer than 20 images are 349 and 163 here, 385 and 136 there.
    """
    if classes == 1:
        return np.ones(1)
    rank = np.arange(classes)
    least = 1.0 / imbalance
    if profile == "exponential":
        return np.asarray(imbalance ** (-rank / (classes - 1.0)), dtype=np.float64)
    if profile == "step":
        return np.where(rank < classes // 2, 1.0, least)
    quantiles = ((rank + 0.5) / classes) ** (-1.0 / power)
    between = (quantiles - quantiles[-1]) / (quantiles[0] - quantiles[-1])
    return np.asarray(least + (1.0 - least) * between, dtype=np.float64)
