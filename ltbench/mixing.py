"""What methods that mix images have in common: mixing weight, pairs within a batch, mixed labels' loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Images


def beta(alpha: float, n: int, rng: torch.Generator) -> Tensor:
    """``(n,)`` float32 from Beta(alpha, alpha), as g1 / (g1 + g2) of two gammas; alpha above 0."""
    shape = torch.full((2, n), alpha, dtype=torch.float64)
    gammas = torch._standard_gamma(shape, generator=rng)
    return (gammas[0] / gammas.sum(dim=0).clamp_min(1e-300)).float()


def soft_targets(targets: Tensor, classes: int) -> Tensor:
    """``(B,)`` int64 or ``(B, C)`` targets to ``(B, C)`` float32."""
    return targets if targets.ndim == 2 else F.one_hot(targets, classes).float()


def mixed_with(
    first: Images,
    partner: Tensor,
    weight: Tensor,
    classes: int,
    label_weight: Tensor | None = None,
) -> Images:
    """w x_i + (1 - w) x_j for images and targets (mixup), j = ``partner[i]``; weight ``(1,)`` or ``(B,)``.

    One view, of images or of features. label_weight: another w, of the same shape or ``(B,)``, for the
    targets. Source: Zhang et al. 2018.
    """
    hot = soft_targets(first.targets, classes)
    of_images = weight.view(-1, *(1 for _ in first.pixels.shape[1:]))
    of_targets = (weight if label_weight is None else label_weight).view(-1, 1)
    return Images(
        of_images * first.pixels + (1 - of_images) * first.pixels[partner],
        of_targets * hot + (1 - of_targets) * hot[partner],
    )


def soft_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over images of -sum_c w_c t_c log softmax(z)_c ``()``, logits z ``(B, C)``.

    targets: ``(B,)`` int64 or ``(B, C)``; weights: ``(C,)``, 1 where there are none. Divided by the
    number of images, not by their weights: so do the published codes that mix and weigh.
    """
    rows = soft_targets(targets, logits.shape[1]).to(logits.dtype)
    return F.cross_entropy(logits, rows, weight=weights)
