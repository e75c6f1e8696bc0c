"""What transductive evaluation owes its reader: errors of estimated priors, exact accuracies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ltbench.evaluate.contract import checked_scores
from ltbench.evaluate.metrics import correct
from ltbench.hyper import Json
from ltbench.pieces import by_pieces, pieces

Predictor = Callable[[Tensor], Tensor]


class Scored(NamedTuple):
    """scores ``(N, C)`` of images with labels ``(N,)``; experts: the class ``(N, E)`` that each expert
    predicts by itself; weights: ``(N,)`` that sum to 1, or None where each image counts the same."""

    scores: Tensor
    labels: Tensor
    experts: Tensor
    weights: Tensor | None = None


def prior_error(estimated: Tensor, counts: Tensor) -> dict[str, Json]:
    """How far an estimated label distribution ``(C,)`` is from the realised counts ``(C,)``.

    With q = counts / sum: ``l1`` = sum_c |q_c - p_c| in [0, 2]; ``kl`` = sum_c q_c log(q_c / p_c),
    KL(true || estimated) in nats, None where it is infinite: a class that is there got p_c = 0.
    """
    p = estimated.detach().double().cpu()
    q = counts.double() / counts.sum()
    there = q > 0
    divergence = (q[there] * (q[there] / p[there]).log()).sum().item()
    return {
        "l1": (q - p).abs().sum().item(),
        "kl": max(0.0, divergence) if math.isfinite(divergence) else None,
    }


def exact_accuracy(hits: Tensor, available: Tensor, counts: Tensor) -> dict[str, Json]:
    """Accuracy under the label distribution ``counts``, from every test image. Per cent.

    acc = sum_c pi_c a_c and ``se`` = sqrt(sum_c pi_c^2 a_c (1 - a_c) / n_c), a_c = hits_c / n_c the
    recall on all ``available`` images n_c ``(C,)`` of the class, pi = counts / sum. It is the mean
    of what all draws with these counts would give; ``se`` is that of the finite test set, given the
    predictor. Source: STATISTICS.md, section 4.3 (stratified sampling).
    """
    there = counts > 0
    pi = counts[there].double() / counts.sum()
    n = available[there].double()
    recall = hits[there].double() / n
    variance = (pi.square() * recall * (1 - recall) / n).sum().item()
    return {"top1": 100.0 * (pi * recall).sum().item(), "se": 100.0 * math.sqrt(variance)}


def expert_predictions(logits: Tensor) -> Tensor:
    """``(N, E, C)`` to ``(N, E)`` int64: the class of the highest logit, of equal ones the first."""
    return by_pieces(lambda piece: piece.argmax(dim=2), logits)


class ExactAccuracy:
    """Exact accuracies of a row's frozen predictors on one table of logits.

    logits: ``(N, E, C)`` of all test images; labels: ``(N,)``; fixed: the method's own ``predict``,
    which runs once: its recalls depend on no draw. Any other predictor runs for every draw.
    """

    def __init__(self, logits: Tensor, labels: Tensor, fixed: Predictor, who: str) -> None:
        self._logits, self._labels, self._fixed, self._who = logits, labels, fixed, who
        self._available = torch.bincount(labels, minlength=logits.shape[2])
        self._fixed_hits: Tensor | None = None

    def __call__(self, frozen: Predictor, counts: Tensor) -> dict[str, Json]:
        """``counts`` ``(C,)``: the realised counts. Raises :class:`ContractError` on wrong scores."""
        if frozen != self._fixed:
            return exact_accuracy(self._hits(frozen), self._available, counts)
        if self._fixed_hits is None:
            self._fixed_hits = self._hits(frozen)
        return exact_accuracy(self._fixed_hits, self._available, counts)

    def _hits(self, frozen: Predictor) -> Tensor:
        """``(C,)``: how many images of each class are predicted right."""
        size, experts, classes = self._logits.shape
        found = torch.zeros(classes, dtype=torch.int64)
        for part in pieces(size, experts, classes):
            logits, labels = self._logits[part], self._labels[part]
            with torch.no_grad():
                scores = checked_scores(frozen(logits), (len(labels), classes), self._who)
            found += torch.bincount(labels[correct(scores, labels)], minlength=classes)
        return found
