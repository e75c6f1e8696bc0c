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

    The optimum is no posterior shifted by class, so that there is no bias: P(j|x) is proportional to
    p_j / [(1-p_j)^gamma - gamma p_j (1-p_j)^(gamma-1) log p_j], the posterior. Its source has one
    sigmoid a class; this is the softmax form that long-tailed baselines use.
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

    def posterior(self, logits: Tensor) -> Tensor:
        """log p - gamma log(1-p) - log(1 + gamma p (-log p) / (1-p)), finite also where p rounds to 1."""
        gamma, log_p = self.hyper.gamma, logits.log_softmax(dim=-1)
        largest = torch.zeros_like(logits, dtype=torch.bool)
        largest.scatter_(-1, logits.argmax(dim=-1, keepdim=True), True)
        others = log_p.masked_fill(largest, -torch.inf).logsumexp(dim=-1, keepdim=True)
        log_rest = torch.where(largest, others, torch.log1p(-log_p.exp().clamp_max(0.75)))
        rest = log_rest.exp().clamp_min(1e-6)  # below it -log p / (1-p) is 1 within float32
        ratio = torch.where(largest, -torch.log1p(-rest), -log_p) / rest
        return log_p - gamma * log_rest - (gamma * log_p.exp() * ratio).log1p()
