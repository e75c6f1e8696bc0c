"""What methods that mix images have in common: the mixing weight, and pairs within a batch."""

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


def mixed_with(first: Images, partner: Tensor, weight: Tensor, classes: int) -> Images:
    """w x_i + (1 - w) x_j for images and targets (mixup), j = ``partner[i]``; weight ``(1,)`` or ``(B,)``.

    One view. Source: Zhang et al. 2018.
    """
    hot = soft_targets(first.targets, classes)
    of_images, of_targets = weight.view(-1, 1, 1, 1), weight.view(-1, 1)
    return Images(
        of_images * first.pixels + (1 - of_images) * first.pixels[partner],
        of_targets * hot + (1 - of_targets) * hot[partner],
    )
