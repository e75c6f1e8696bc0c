"""Whether logits carry the prior that is stated for them: their mean posterior over it, by class group.

An expert that minimises cross-entropy on z_e + b_e with a free bias a class has softmax(z_e + b_e) =
P_train(y|x) on average: its mean over images distributed as in training is the prior pi, a ratio of 1.
A head without class bias, weight decay on that bias or a training cut short break this. Nothing is
corrected here: what bias, oracle and regret are stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.evaluate.posteriors import has_posterior, log_posteriors
from ltbench.evaluate.sources import exact_bias
from ltbench.hyper import Json
from ltbench.labelshift.holdout import importance
from ltbench.method import Method
from ltbench.pieces import pieces
from ltbench.seeds import generator

MOST_IMAGES = 2000
"""Of the training set, where no hold-out is there: a fifth of the pass over CIFAR's test images."""

DIGITS = 6
"""Significant digits in the record; the noise of a few thousand images is far above the seventh."""


@dataclass(frozen=True)
class Sample:
    """Images that stand for the training distribution: logits ``(N, E, C)``, labels ``(N,)``, weights
    ``(N,)`` float64.

    present ``(C,)`` bool: the classes that they can speak of; the softmax is over these alone.
    share: of all images that they were drawn from; nothing is left to chance at 1.
    """

    source: Literal["holdout", "training"]
    logits: Tensor
    labels: Tensor
    weights: Tensor
    present: Tensor
    share: float = 0.0


def held_out_sample(logits: Tensor, labels: Tensor, counts: Tensor) -> Sample:
    """Each image weighs pi_j / h_j. A class without held-out image is left out, as in the bias fit."""
    held = torch.bincount(labels, minlength=len(counts))
    present = (held > 0) & (counts > 0)
    return Sample("holdout", logits, labels, importance(labels, counts), present)


def training_sample(logits: Tensor, labels: Tensor, counts: Tensor) -> Sample:
    """Clean images at :func:`training_places`, which all stand for equally many."""
    weights = torch.ones(len(logits)).double()
    share = len(logits) / int(counts.sum())
    return Sample("training", logits, labels, weights, counts > 0, share)


def training_places(
    labels: NDArray[np.int64], rank: NDArray[np.int64], seed: int, most: int = MOST_IMAGES
) -> NDArray[np.int64]:
    """Places ``(n,)``, ascending, of all training images or of ``most``.

    A systematic sample: images by the training ``rank`` ``(C,)`` of their class, shuffled within it, one
    from every N / most with a random start. Every image is equally likely and no weight is needed,
    while each class, and each class group, has its share to within one image. Independent draws would
    give few-shot classes (3.6 per cent of CIFAR-100-LT) 12 per cent of noise; one image of each class
    does not fit where classes are more than ``most``.
    """
    images = len(labels)
    if images <= most:
        return np.arange(images, dtype=np.int64)
    rng = generator("carried prior", seed)
    shuffled = torch.randperm(images, generator=rng).numpy()
    by_rank = shuffled[np.argsort(rank[labels[shuffled]], kind="stable")]
    start = int(torch.randint(images, (), generator=rng))
    chosen: NDArray[np.int64] = by_rank[(np.arange(most) * images + start) // most]
    return np.sort(chosen)


def unknown_prior(method: Method[Any]) -> str:
    """Why there is nothing to compare with; empty where bias or posterior are known in closed form.

    A bias fitted on the hold-out is none: its fit sets the ratio on these images to 1.
    """
    if has_posterior(method) or method.bias() is not None:
        return ""
    return f"method {method.name!r} states neither bias nor posterior"


def carried_prior(
    method: Method[Any], sample: Sample, groups: Mapping[str, Sequence[int]]
) -> dict[str, Json]:
    """The ``carried_prior`` block of a trial's record.

    method: one without :func:`unknown_prior`, its counts on the CPU.
    """
    prior = method.counts.double() * sample.present
    expected = (prior / prior.sum()) @ _members(groups, len(prior))
    masses = group_masses(method, sample, groups)
    means = torch.einsum("n,neg->eg", sample.weights / sample.weights.sum(), masses)
    ratios = [_by_group(groups, mean / expected) for mean in means]
    errors = mass_errors(masses[:, -1], sample, groups) / expected
    return {
        "source": sample.source,
        "images": len(sample.logits),
        "mean": ratios[-1],
        "error": _by_group(groups, errors),
        "experts": [*ratios[:-1]],
    }


def group_masses(
    method: Method[Any], sample: Sample, groups: Mapping[str, Sequence[int]]
) -> Tensor:
    """``(N, E + 1, G)`` float64: what softmax(s) of each image gives to the classes of each group.

    s are the log-posteriors z_e + b_e of each expert (or the method's own ``posterior``), and last
    their mean over the experts.
    """
    _, experts, classes = sample.logits.shape
    bias = None if has_posterior(method) else exact_bias(method, (experts, classes)).value
    members = _members(groups, classes)
    found = []
    for part in pieces(*sample.logits.shape):
        z = sample.logits[part]
        scores = (log_posteriors(method, z) if bias is None else z + bias).double()
        scores = torch.cat([scores, scores.mean(dim=1, keepdim=True)], dim=1)
        scores = scores.masked_fill(~sample.present, -torch.inf)
        found.append(scores.softmax(dim=2) @ members)
    return torch.cat(found)


def mass_errors(masses: Tensor, sample: Sample, groups: Mapping[str, Sequence[int]]) -> Tensor:
    """Standard error ``(G,)`` of the weighted mean of ``masses`` ``(N, G)``.

    Of a sample stratified by the group k that an image is of, w its weights with sum 1 and n_k images:
    (1 - share) sum_k n_k / (n_k - 1) sum_{i in k} w_i^2 (m_i - mean_k)^2 is the square. NaN where a
    group has one image, whose spread nobody knows; 0 where no image is missing.
    """
    if sample.share >= 1:
        return torch.zeros(masses.shape[1], dtype=torch.float64)
    weights = sample.weights / sample.weights.sum()
    variance = torch.zeros(masses.shape[1], dtype=torch.float64)
    for stratum in _members(groups, len(sample.present)).bool().T:
        inside = stratum[sample.labels]
        w, m = weights[inside, None], masses[inside]
        if len(m):
            spread = (w**2 * (m - (w * m).sum(dim=0) / w.sum()) ** 2).sum(dim=0)
            variance += spread * (len(m) / (len(m) - 1) if len(m) > 1 else torch.nan)
    return ((1 - sample.share) * variance).sqrt()


def _members(groups: Mapping[str, Sequence[int]], classes: int) -> Tensor:
    """``(C, G)`` float64, 1 where the class is of the group."""
    table = torch.zeros(classes, len(groups), dtype=torch.float64)
    for g, members in enumerate(groups.values()):
        table[list(members), g] = 1
    return table


def _by_group(groups: Mapping[str, Sequence[int]], values: Tensor) -> dict[str, Json]:
    """None where there is no number: a group without prior, an error that is not known."""
    found = dict(zip(groups, values.tolist(), strict=True))
    return {
        name: float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
        for name, value in found.items()
    }
