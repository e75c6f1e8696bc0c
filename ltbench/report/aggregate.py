"""Aggregates over protocols: interquartile mean, performance profiles, critical difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltbench.report.statistics import LEVEL, SMALLEST_N

RESAMPLES = 10_000
SMALLEST_BLOCKS = 8  # below, the critical difference spans most of the ranks
_BATCH = 500
_DIGITS = 9

Scores = Sequence[NDArray[np.float64]]
"""One array of the seeds' scores per setting (a test distribution of a protocol)."""


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the middle half along the last axis; ``floor(n / 4)`` values are cut at either end.

    Source: Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice, section 4.3.
    """
    ordered = np.sort(values, axis=-1)
    cut = values.shape[-1] // 4
    middle: NDArray[np.float64] = ordered[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return middle


def _resampled(scores: Scores, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Seeds drawn with replacement inside each setting, ``(B, total)``."""
    return np.concatenate(
        [values[rng.integers(len(values), size=(resamples, len(values)))] for values in scores],
        axis=1,
    )


@dataclass(frozen=True)
class Interval:
    """A number and its percentile interval, absent where a setting has less than three seeds."""

    value: float
    low: float | None
    high: float | None


def iqm(scores: Scores, resamples: int = RESAMPLES) -> Interval:
    """Interquartile mean over all settings and seeds with a stratified bootstrap over seeds."""
    value = float(interquartile_mean(np.concatenate(list(scores))))
    if min(len(values) for values in scores) < SMALLEST_N:
        return Interval(value, None, None)
    rng = np.random.default_rng(0)
    parts = [
        interquartile_mean(_resampled(scores, min(_BATCH, resamples - start), rng))
        for start in range(0, resamples, _BATCH)
    ]
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.percentile(np.concatenate(parts), [tail, 100.0 - tail])
    return Interval(value, float(low), float(high))


def profile(scores: Scores, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the runs with a score above each threshold, every setting with equal weight."""
    per_setting = [np.mean(values[:, None] > thresholds[None, :], axis=0) for values in scores]
    share: NDArray[np.float64] = np.mean(per_setting, axis=0)
    return share


def mean_ranks(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean rank of each method, 1 the best; blocks: ``(N, K)`` scores; ties share their ranks."""
    from scipy.stats import rankdata

    # Rounded far below one image: means that are equal as fractions are ties, too.
    ranks: NDArray[np.float64] = rankdata(-blocks.round(_DIGITS), axis=1).mean(axis=0)
    return ranks


def critical_difference(methods: int, blocks: int, alpha: float = 0.05) -> float:
    """Nemenyi's: ``q sqrt(K (K + 1) / (6 N))``, q the studentised range over sqrt(2).

    Source: Demsar 2006, JMLR 7, section 3.2.2.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - alpha, methods, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(methods * (methods + 1) / (6.0 * blocks))
