"""Balanced softmax: cross-entropy on logits shifted by the log training prior."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Method, NoHyper, Reference, log_prior


class BalancedSoftmax(Method[NoHyper]):
    """L = -log softmax(z + log pi)_y. The logits are those of a uniform prior: bias log pi."""

    name: ClassVar = "balanced-softmax"
    title: ClassVar = "Balanced softmax"
    reference: ClassVar = Reference(
        authors="Ren, Yu, Sheng, Ma, Zhao, Yi, Li",
        title="Balanced meta-softmax for long-tailed visual recognition",
        venue="NeurIPS",
        year=2020,
        url="https://arxiv.org/abs/2007.10740",
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
        settings_source="config/CIFAR100_LT/balanced_softmax.yaml of hyperconnect/LADE",
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
        return F.cross_entropy(logits[:, 0] + self.bias()[0], targets)

    def bias(self) -> Tensor:
        return log_prior(self.counts)[None]
