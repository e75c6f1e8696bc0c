"""The order in which an epoch visits the training images."""

from __future__ import annotations

import torch
from torch import Tensor


def epoch_order(labels: Tensor, exponent: float, rng: torch.Generator) -> Tensor:
    """``(N,)`` indices: for exponent 1 a permutation, else N draws with p(class) ~ n^exponent.

    labels: ``(N,)`` int64 on the CPU.
    """
    if exponent == 1:
        return torch.randperm(len(labels), generator=rng)
    counts = torch.bincount(labels)[labels].double()
    weights = 1.0 / counts if exponent == 0 else counts ** (exponent - 1)
    return torch.multinomial(weights, len(labels), True, generator=rng)
