"""Labelled hold-outs, which are not distributed like the training set.

Every class keeps and gives at least one image, hence hold-out counts h_j are not proportional to
training counts; each image therefore weighs (pi_j / sum pi) / (h_j / sum h), sums over the classes that
the hold-out has. Without it, statistics under the training prior are biased most for the rarest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.errors import ContractError
from ltbench.strategy import Source


@dataclass(frozen=True)
class Holdout:
    """logits ``(H, E, C)``, labels ``(H,)``, weights ``(H,)`` float64 with mean 1."""

    logits: Tensor
    labels: Tensor
    weights: Tensor


def known_holdout(source: Source) -> Holdout:
    """The hold-out, which a strategy with 'holdout' in ``needs`` has."""
    logits, labels = source.holdout_logits, source.holdout_labels
    if logits is None or labels is None or len(labels) == 0:
        raise ContractError("this strategy was given no hold-out, though 'holdout' is in its needs")
    return Holdout(logits, labels, importance(labels, source.method.counts))


def importance(labels: Tensor, counts: Tensor) -> Tensor:
    """Weights ``(H,)`` that make the hold-out stand for the training distribution; mean 1."""
    return weights_for(labels, counts.double())


def weights_for(labels: Tensor, prior: Tensor) -> Tensor:
    """Weights ``(H,)`` that make the hold-out stand for ``prior`` ``(C,)``; mean 1.

    A class without hold-out images cannot be represented; the others share its part.
    """
    held = torch.bincount(labels, minlength=len(prior)).double()
    present = prior.double() * (held > 0)
    share = present / present.sum()
    return (share / held.clamp_min(1))[labels] * len(labels)


def confusion(outputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Joint table ``(C, C)``: C_kj = mean_i w_i p_ik 1[y_i = j], p the (soft or one-hot) outputs."""
    truth = F.one_hot(labels, outputs.shape[1]).double()
    return outputs.T @ (weights[:, None] * truth) / len(labels)
