"""The order in which an epoch visits the training images."""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.method import Phase


def epoch_order(labels: Tensor, phase: Phase, rng: torch.Generator) -> Tensor:
    """``(N,)`` indices: a permutation, or N draws with classes equally likely.

    labels: ``(N,)`` int64 on the CPU.
    """
    if phase.sampler == "instance":
        return torch.randperm(len(labels), generator=rng)
    counts = torch.bincount(labels)
    return torch.multinomial(1.0 / counts[labels].double(), len(labels), True, generator=rng)
