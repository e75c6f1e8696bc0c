"""What contrastive methods have in common: a projector, and a copy of it that follows slowly."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

M = TypeVar("M", bound=nn.Module)


class Projector(nn.Module):
    """``(N, width)`` features to ``(N, dim)`` of length 1: Linear, ReLU, Linear.

    batchnorm: before the ReLU, by the statistics of the N rows themselves (at least 2); since nothing
    is predicted with it, none are kept.
    """

    def __init__(self, width: int, hidden: int, dim: int, *, batchnorm: bool) -> None:
        super().__init__()
        norm = [nn.BatchNorm1d(hidden, track_running_stats=False)] if batchnorm else []
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), *norm, nn.ReLU(), nn.Linear(hidden, dim)
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.layers(features), dim=1)


def momentum_copy(module: M) -> M:
    """A copy that nothing trains; :func:`follow` moves it."""
    return copy.deepcopy(module).requires_grad_(False)


def follow(slow: nn.Module, fast: nn.Module, keep: float) -> None:
    """theta_slow <- keep theta_slow + (1 - keep) theta_fast, in place, without gradient.

    Parameters only: BatchNorm statistics of a momentum copy are those of what it sees itself, as in MoCo
    (He et al. 2020).
    """
    with torch.no_grad():
        torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1 - keep)
