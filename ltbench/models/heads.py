"""Classifier heads."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import Architecture


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


class ScaledHead(nn.Module):
    """Logits s_c z_c of another head's z; s = ``rate`` u starts at 1, and u ``(C,)`` learns.

    forward: ``(B, D)`` to ``(B, C)``. Under SGD s moves by ``rate``^2 times the gradient's step, so that
    it can learn faster than ``head`` with one learning rate. Source: Kang et al. 2020 (LWS).
    """

    def __init__(self, head: nn.Module, classes: int, rate: float = 1.0) -> None:
        super().__init__()
        self.head, self.rate = head, rate
        self.scales = nn.Parameter(torch.full((classes,), 1 / rate))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return self.rate * self.scales * logits


def make_head(request: Architecture, features: int, classes: int) -> CosineHead | LinearHead:
    """The head that ``request`` asks for: ``(B, features)`` to ``(B, classes)``."""
    if request.head == "cosine":
        return CosineHead(features, classes, request.scale)
    return LinearHead(features, classes)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """What runs within keeps the precision of its inputs. On ``meta`` nothing is computed at all."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
