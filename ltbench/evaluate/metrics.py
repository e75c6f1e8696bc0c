"""Scores of predictions; pure functions on tensors."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.pieces import MANY_CLASSES, by_pieces

ECE_BINS = 15


def correct(scores: Tensor, labels: Tensor) -> Tensor:
    """``(N, C)`` scores and ``(N,)`` labels to ``(N,)`` bool; of equal scores the first class wins."""
    return scores.argmax(dim=1) == labels


def among_first(scores: Tensor, labels: Tensor, k: int = 5) -> Tensor:
    """Whether the label is among the k classes of highest score: ``(N,)`` bool.

    Of equal scores the first class comes first, as in :func:`correct`, which is k = 1.
    """
    places = torch.arange(scores.shape[1], device=scores.device)

    def among(scores: Tensor, labels: Tensor) -> Tensor:
        own = scores.gather(1, labels[:, None])
        before = (scores > own) | ((scores == own) & (places < labels[:, None]))
        return before.sum(dim=1) < k

    return by_pieces(among, scores, labels)


def per_class_recall(hits: Tensor, labels: Tensor, classes: int) -> list[float | None]:
    """Recall of each class in per cent, None where the set holds no image of it. ``(C,)``."""
    total = torch.bincount(labels, minlength=classes)
    right = torch.bincount(labels[hits], minlength=classes)
    return [
        100.0 * r / t if t else None for r, t in zip(right.tolist(), total.tolist(), strict=True)
    ]


def mean_recall(recalls: list[float | None], classes: list[int] | None = None) -> float | None:
    """Mean over (some) classes of the recalls that exist; None where none does."""
    chosen = recalls if classes is None else [recalls[c] for c in classes]
    present = [recall for recall in chosen if recall is not None]
    return sum(present) / len(present) if present else None


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """``(N,)`` float64 weights 1 / (K n_y), n_y the images of the class, K the classes that are there.

    Under them every class weighs the same: a weighted accuracy is the mean of the classes' recalls,
    the accuracy under a uniform label distribution. They sum to 1.
    """
    sizes = torch.bincount(labels, minlength=classes)
    return 1.0 / ((sizes > 0).sum().double() * sizes[labels].double())


def accuracy(hits: Tensor, weights: Tensor | None = None) -> float:
    """Share of ``(N,)`` hits in per cent, under ``weights`` ``(N,)`` that sum to 1 where given."""
    if weights is None:
        return 100.0 * hits.double().mean().item()
    return min(100.0, 100.0 * (weights * hits).sum().item())


def negative_log_likelihood(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Mean of -log softmax(scores)_y, natural logarithm; weighted by ``(N,)`` where given."""
    if weights is None and scores.shape[1] < MANY_CLASSES:
        return F.cross_entropy(scores.double(), labels).item()
    losses = by_pieces(
        lambda z, y: F.cross_entropy(z.double(), y, reduction="none"), scores, labels
    )
    return (losses.mean() if weights is None else (weights * losses).sum()).item()


def brier_score(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Mean over images of sum_c (p_c - 1[c = y])^2, p = softmax(scores): in [0, 2], lower is better.

    Weighted by ``(N,)`` that sum to 1 where given. Source: Brier 1950, for several classes.
    """

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        p = F.softmax(scores.double(), dim=1)
        own = p.gather(1, labels[:, None])[:, 0]
        return p.square().sum(dim=1) - 2 * own + 1

    losses = by_pieces(loss, scores, labels)
    return (losses.mean() if weights is None else (weights * losses).sum()).item()


def expected_calibration_error(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None, bins: int = ECE_BINS
) -> float:
    """Sum over equal-width confidence bins of share * |accuracy - mean confidence|, in [0, 1].

    Confidence is the largest softmax probability; ``weights`` ``(N,)`` that sum to 1 are the images'
    shares where given. Source: Guo et al. 2017, section 2.
    """
    confidence = by_pieces(lambda z: F.softmax(z.double(), dim=1).amax(dim=1), scores)
    hits = correct(scores, labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1  # bins are open on the left
    difference = hits - confidence if weights is None else weights * (hits - confidence)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, difference)
    if weights is not None:
        return gap.abs().sum().item()
    return (gap.abs().sum() / len(labels)).item()


def view_agreement(pair: Tensor) -> Tensor:
    """Cosine similarity of each expert's class probabilities on two views.

    pair: ``(2, N, E, C)`` logits; returns ``(N, E)`` in [0, 1].
    """
    first, second = F.softmax(pair[0], dim=2), F.softmax(pair[1], dim=2)
    return F.cosine_similarity(first, second, dim=2)


def pack_bits(hits: Tensor) -> str:
    """``(N,)`` bool as base64 of its bits, most significant first."""
    return base64.b64encode(np.packbits(hits.numpy()).tobytes()).decode("ascii")


def pack_labels(labels: Tensor) -> str:
    """``(N,)`` classes as base64 of zlib of one byte each, or of two, low first, from 256 classes on."""
    width = "<u1" if int(labels.max()) < 256 else "<u2"
    raw = labels.numpy().astype(width).tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def unpack_bits(text: str, n: int) -> Tensor:
    """The ``(N,)`` bool that :func:`pack_bits` stored."""
    raw = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return torch.from_numpy(np.unpackbits(raw, count=n).astype(bool))
