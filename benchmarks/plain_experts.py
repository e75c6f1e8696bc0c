"""SADE's network with three plain cross-entropy losses: is its experts' diversity more than a prior?

    ltbench run --plugin benchmarks/plain_experts.py --protocol digits-lt --seeds 5 \
        --methods 'plain-experts+none,plain-experts+tilt,sade+none,sade+tilt'

SADE's biases b_e change the prior that each expert learns; a strategy undoes that exactly. What is left
of the difference to this method is what the three losses change beyond the prior (docs/tilt-record.md).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ltbench.methods.train.sade import Sade, SadeHyper


class PlainExperts(Sade):
    """L = sum_e CE(z_e, y): SADE with every bias 0, and ``tau`` without effect."""

    name: ClassVar = "plain-experts"
    title: ClassVar = "Three plain experts"
    strategy: ClassVar = "none"

    def __init__(self, counts: Tensor, hyper: SadeHyper) -> None:
        super().__init__(counts, hyper)
        self._bias = torch.zeros_like(self._bias)
