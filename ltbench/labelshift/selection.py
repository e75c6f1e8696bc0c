"""Choice between estimators of a prior by the likelihood of unlabelled images they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.labelshift.posterior import log_evidence

Estimator = Callable[[Tensor], Tensor]
"""Likelihoods ``(N, C)`` to a prior ``(C,)``, or to several ``(M, C)`` that are cheaper together."""


@dataclass(frozen=True)
class Choice:
    """index: of the chosen prior; gains: held-out log-likelihood per image, nats, of each over the
    first."""

    index: int
    gains: list[float]


def choose(u: Tensor, estimators: Sequence[Estimator], rng: torch.Generator) -> Choice:
    """The first prior whose held-out likelihood is within one standard error of the best.

    estimators: the simplest first, likewise the priors of one of them; counted through all. Each is
    fitted on a random half of the images ``(N, C)`` and scored on the other, both ways round; the
    standard error is that of the paired difference to the best. Of fewer than two images no half can
    be held out: then the first.
    """
    if len(u) < 2:
        return Choice(0, [0.0] * len(_priors(u, estimators)))
    order = torch.randperm(len(u), generator=rng)
    halves = (order[: len(u) // 2], order[len(u) // 2 :])
    found = []
    for fitted, held in (halves, halves[::-1]):
        priors = _priors(u[fitted], estimators)  # one copy of a half at a time
        found.append(log_evidence(u[held], priors.T))
    scores = torch.cat(found).T
    means = scores.mean(dim=1)
    lost = scores[means.argmax()] - scores
    error = lost.std(dim=1) / len(u) ** 0.5
    index = int((lost.mean(dim=1) <= error).nonzero()[0])
    return Choice(index, (means - means[0]).tolist())


def _priors(u: Tensor, estimators: Sequence[Estimator]) -> Tensor:
    """All that the estimators find, ``(M, C)``."""
    return torch.cat([estimate(u).reshape(-1, u.shape[1]) for estimate in estimators])
