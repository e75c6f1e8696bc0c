"""Focal loss, softmax form: images that are recognised already count less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.settings import setting


@dataclass(frozen=True)
class FocalHyper(Hyper):
    gamma: float = setting(1.0, low=0, help="how much less; 0 is cross-entropy")


class Focal(Method[FocalHyper]):
    """L = mean_i (1 - p_y)^gamma (-log p_y), p = softmax(z).

    The optimum is no posterior shifted by class: P(j|x) is proportional to
    p_j / [(1-p_j)^gamma - gamma p_j (1-p_j)^(gamma-1) log p_j]. Reference bias 0: of all biases the
    nearest to it, focal loss knows nothing of the prior. Its source has one sigmoid a class; this is
    the softmax form that long-tailed baselines use.
    """

    name: ClassVar = "focal"
    title: ClassVar = "Focal loss (softmax)"
    hyper_type: ClassVar = FocalHyper
    reference: ClassVar = Reference(
        authors="Lin, Goyal, Girshick, He, Dollár",
        title="Focal loss for dense object detection",
        venue="ICCV",
        year=2017,
        url="https://arxiv.org/abs/1708.02002",
        settings={
            "gamma": 1.0,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": False,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
            "recipe.crop_padding": 4,
            "recipe.flip": True,
            "recipe.rotation": 0.0,
        },
        settings_source="cifar_train.py and losses.py of kaidic/LDAM-DRW (loss_type Focal)",
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
        log_p = -F.cross_entropy(logits[:, 0], targets, reduction="none")
        # the floor keeps the slope of (1 - p)^gamma finite at p = 1, where gamma < 1
        rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        return (rest**self.hyper.gamma * -log_p).mean()

    def reference_bias(self) -> Tensor:
        return torch.zeros(1, len(self.counts), device=self.counts.device)
