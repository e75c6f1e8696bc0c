"""Cross-entropy: the baseline every long-tailed method is compared with."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Method, NoHyper, Reference


class CrossEntropy(Method[NoHyper]):
    """L = -log softmax(z)_y. The logits carry the training prior: bias 0."""

    name: ClassVar = "ce"
    title: ClassVar = "Cross-entropy (softmax)"
    reference: ClassVar = Reference(
        authors="He, Zhang, Ren, Sun",
        title="Deep residual learning for image recognition",
        venue="CVPR",
        year=2016,
        url="https://arxiv.org/abs/1512.03385",
        settings={
            "recipe.epochs": 200,
            "recipe.batch_size": 256,
            "recipe.lr": 0.2,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
            "recipe.rotation": 0.0,
        },
        settings_source="config/CIFAR100_LT/ce.yaml of hyperconnect/LADE",
    )

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
        return F.cross_entropy(logits[:, 0], targets)

    def bias(self) -> Tensor:
        return torch.zeros(1, len(self.counts), device=self.counts.device)
