"""SADE's network with three plain cross-entropy losses: is its experts' diversity more than a prior?

    ltbench run --plugin benchmarks/plain_experts.py --protocol digits-lt --seeds 5 \
        --methods 'plain-experts+none,plain-experts+tilt,sade+none,sade+tilt'

SADE's biases b_e change the prior that each expert learns; a strategy undoes that exactly. What is left
of the difference to this method is what the three losses change beyond the prior (docs/tilt.md).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Architecture, Method, NoHyper


class PlainExperts(Method[NoHyper]):
    """L = sum_e CE(z_e, y), three experts on SADE's network; every bias is 0."""

    name: ClassVar = "plain-experts"
    title: ClassVar = "Three plain experts"

    def architecture(self) -> Architecture:
        return Architecture(experts=3, head="cosine", reduced=True)

    def loss_stage(self, progress: float) -> int:
        return 0

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        batch, experts, classes = logits.shape
        each = logits.reshape(batch * experts, classes)
        return F.cross_entropy(each, targets.repeat_interleave(experts), reduction="sum") / batch

    def bias(self) -> Tensor:
        return torch.zeros(3, len(self.counts), device=self.counts.device)
