"""How good predictions on held-out training images are under label distributions not their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ltbench.evaluate import metrics

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HoldOutScore:
    """accuracies ``(K,)`` under each prior, their mean and its standard error; per cent.

    An accuracy is NaN where the hold-out has no image of any class of that prior; the mean is over
    the others.
    """

    accuracies: Array
    mean: float
    error: float


def hits_per_class(scores: Tensor, labels: Tensor) -> Array:
    """``(N, C)`` scores and ``(N,)`` labels to ``(C,)``: images of each class predicted right."""
    hits = metrics.correct(scores, labels).numpy()
    return np.bincount(labels.numpy()[hits], minlength=scores.shape[1]).astype(np.float64)


def score_under_priors(hits: Sequence[Array], held: Array, priors: Array) -> HoldOutScore:
    """acc(q) = sum_c q_c a_c / sum_c q_c over classes with held-out images, a_c = hits_c / held_c.

    hits: one ``(C,)`` for each seed, on the same images; held ``(C,)``: images of each class; priors
    ``(K, C)``. The standard error is that of the images, var = sum_c Q_c^2 a_c (1 - a_c) / held_c with
    Q the mean of the normalised priors and a_c = (hits_c + 1/2) / (held_c + 1), so that a class of one
    image is not taken for certain; seeds share the images and do not lower it.
    """
    present = held > 0
    mass = priors[:, present]
    total = mass.sum(axis=1, keepdims=True)
    scorable = total[:, 0] > 0
    share = mass[scorable] / total[scorable]
    found = np.mean(hits, axis=0)[present]
    accuracies = np.full(len(priors), np.nan)
    accuracies[scorable] = 100 * share @ (found / held[present])
    smoothed = (found + 0.5) / (held[present] + 1)
    weight = share.mean(axis=0)
    variance = (weight**2 * smoothed * (1 - smoothed) / held[present]).sum()
    return HoldOutScore(
        accuracies, float(accuracies[scorable].mean()), float(100 * np.sqrt(variance))
    )
