"""Class-balanced loss: cross-entropy weighted by the effective number of images of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.reweighting import effective_weights
from ltbench.settings import setting


@dataclass(frozen=True)
class ClassBalancedHyper(Hyper):
    beta: float = setting(
        0.9999, low=0, high=1, help="of the effective number; 0 weighs all alike, 1 by 1 / n"
    )


class ClassBalanced(Method[ClassBalancedHyper]):
    """L = (1 / B) sum_i w_(y_i) CE(z_i, y_i), w_j = (1 - beta) / (1 - beta^n_j) scaled to sum C.

    (1 - beta^n) / (1 - beta) is the effective number of n images. The sum is divided by the batch
    size B, as published, not by the weights in the batch as torch's weighted cross-entropy is.
    Bias -log w: the optimum is softmax(z)_j proportional to w_j P(j|x), which is the
    posterior after z - log w.
    """

    name: ClassVar = "class-balanced"
    title: ClassVar = "Class-balanced cross-entropy"
    hyper_type: ClassVar = ClassBalancedHyper
    reference: ClassVar = Reference(
        authors="Cui, Jia, Lin, Song, Belongie",
        title="Class-balanced loss based on effective number of samples",
        venue="CVPR",
        year=2019,
        url="https://arxiv.org/abs/1901.05555",
        settings={
            "beta": 0.9999,
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
        settings_source="cifar_train.py of kaidic/LDAM-DRW (train_rule Reweight); the authors' own "
        "code states none for CIFAR-100",
    )

    def __init__(self, counts: Tensor, hyper: ClassBalancedHyper) -> None:
        super().__init__(counts, hyper)
        self._weights = effective_weights(counts, hyper.beta)

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
        weighted = F.cross_entropy(logits[:, 0], targets, weight=self._weights, reduction="sum")
        return weighted / len(targets)

    def bias(self) -> Tensor:
        return -self._weights.log()[None]
