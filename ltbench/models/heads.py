"""Classifier heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineHead(nn.Module):
    """Logits s * cos(f, w_c): feature and class weights L2-normalised, no bias.

    forward: ``(B, D)`` to ``(B, C)``. Source: LDAM-DRW ``NormedLinear`` (Cao et al. 2019), with the
    scale s = 30 that RIDE and SADE apply to it.
    """

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, classes))
        self.scale = scale

    def reset(self, generator: torch.Generator) -> None:
        """Columns uniform in direction of a cube's points, of length one."""
        with torch.no_grad():
            self.weight.uniform_(-1, 1, generator=generator)
            self.weight.copy_(F.normalize(self.weight, dim=0))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * (F.normalize(features, dim=1) @ F.normalize(self.weight, dim=0))


class LinearHead(nn.Linear):
    """Logits W f + b. forward: ``(B, D)`` to ``(B, C)``."""

    def reset(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            nn.init.kaiming_normal_(self.weight, generator=generator)
            bound = self.in_features**-0.5
            self.bias.uniform_(-bound, bound, generator=generator)
