"""Aggregates over protocols: interquartile mean, performance profiles, critical difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltbench.report.rows.summary import LEVEL, SMALLEST_N

RESAMPLES = 10_000
SMALLEST_BLOCKS = 8  # below, the critical difference spans most of the ranks
_BATCH = 500
_DIGITS = 9

Scores = Sequence[NDArray[np.float64]]
"""One array of the seeds' scores per setting (a test distribution of a protocol)."""


def run_weights(scores: Scores) -> NDArray[np.float64]:
    """``(R,)``: ``L / n_d`` for each of the ``n_d`` runs of setting d, L their least common multiple.

    Every setting weighs L, and every run 1 where all settings have the same number of seeds.
    """
    sizes = [len(values) for values in scores]
    whole = math.lcm(*sizes)
    return np.concatenate([np.full(size, float(whole // size)) for size in sizes])


def interquartile_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the middle half of the weight along the last axis.

    With the values in ascending order, ``W = sum_i w_i``, ``C_i = w_1 + ... + w_i`` and
    ``q = floor(W / 4)`` cut at either end::

        IQM = sum_i k_i x_i / (W - 2 q),   k_i = max(0, min(C_i, W - q) - max(C_i - w_i, q))

    so that a run on a boundary counts with the part of its weight that lies inside. With
    :func:`run_weights` that is the plain interquartile mean of a runs-by-settings matrix in which
    the runs of each setting are repeated until all have equally many; with all weights 1 that of
    the matrix itself.

    values: ``(..., R)``; weights: ``(R,)``, whole numbers. Source: Agarwal et al. 2021, Deep RL at
    the Edge of the Statistical Precipice, section 4.3.
    """
    order = np.argsort(values, axis=-1)
    ordered, own = np.take_along_axis(values, order, axis=-1), weights[order]
    total = float(weights.sum())
    cut = total // 4
    upto = np.cumsum(own, axis=-1)
    kept = np.minimum(upto, total - cut) - np.maximum(upto - own, cut)
    middle: NDArray[np.float64] = (np.clip(kept, 0.0, None) * ordered).sum(axis=-1)
    return middle / (total - 2 * cut)


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
    """Interquartile mean over all runs, every setting with equal weight, also in its bootstrap.

    The interval is that of a stratified bootstrap: seeds are drawn again inside each setting.
    """
    weights = run_weights(scores)
    value = float(interquartile_mean(np.concatenate(list(scores)), weights))
    if min(len(values) for values in scores) < SMALLEST_N:
        return Interval(value, None, None)
    rng = np.random.default_rng(0)
    parts = [
        interquartile_mean(_resampled(scores, min(_BATCH, resamples - start), rng), weights)
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
