"""ResLT: branches for all classes, for those from medium on, and for the tail, summed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Reference
from ltbench.settings import setting


@dataclass(frozen=True)
class ResltHyper(Hyper):
    beta: float = setting(
        0.995, low=0, high=1, help="weight of the branches; 1 - beta: of their sum"
    )
    medium: float = setting(
        0.35, low=0, high=1, help="share of the classes before the second branch's"
    )
    tail: float = setting(0.7, low=0, high=1, help="share of the classes before the third branch's")


class Reslt(Method[ResltHyper]):
    """L = beta mean_((i, e): y_i in G_e) CE(z_e, y) + (1 - beta) CE(sum_e z_e, y); argmax sum_e z_e.

    G_0 all classes, G_1 those of a rank (count descending, class index) from ``medium`` C on, G_2 from
    ``tail`` C on. One mean over all pairs: the branch of all classes weighs most. A branch is a
    BatchNorm on the shared last map, and all share a linear head.

    No closed form: the branch of the tail meets head images in the sum alone. Reference bias 0, that
    of the branch of all classes. Groups go by rank, published are the classes 0, 35 and 70; the 1e-7 inside
    the published logarithm is left out. Its beta is 0.995 at imbalance 100, 0.99 at 50, 0.72 at 10.
    """

    name: ClassVar = "reslt"
    title: ClassVar = "ResLT"
    family = "experts"
    hyper_type: ClassVar = ResltHyper
    reference: ClassVar = Reference(
        authors="Cui, Liu, Tian, Zhong, Jia",
        title="ResLT: Residual learning for long-tailed recognition",
        venue="TPAMI",
        year=2022,
        url="https://arxiv.org/abs/2101.10633",
        settings={
            "beta": 0.995,
            "medium": 0.35,
            "tail": 0.7,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": True,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.1,
        },
        settings_source="CIFAR/sh/CIFAR100 and cifarTrain_reslt_cifar100.py of jiequancui/ResLT",
    )

    def __init__(self, counts: Tensor, hyper: ResltHyper) -> None:
        super().__init__(counts, hyper)
        order = torch.argsort(counts, descending=True, stable=True)
        rank = torch.argsort(order)
        # rounded down, and never past the last class: the tail is not empty where classes are few
        first = [
            min(int(share * len(counts) + 1e-9), len(counts) - 1)
            for share in (0.0, hyper.medium, hyper.tail)
        ]
        self._members = torch.stack([rank >= start for start in first], dim=1).float()  # (C, 3)

    def architecture(self) -> Architecture:
        return Architecture(3, share="features", shared_head=True)

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
        takes = self._members[targets]  # (B, 3); masked: no shape depends on data
        own = targets[:, None, None].expand(-1, logits.shape[1], 1)
        each = -logits.log_softmax(dim=2).gather(2, own)[..., 0]
        branches = (takes * each).sum() / takes.sum()
        together = F.cross_entropy(logits.sum(dim=1), targets)
        return self.hyper.beta * branches + (1 - self.hyper.beta) * together

    def predict(self, logits: Tensor) -> Tensor:
        return logits.sum(dim=1)

    def reference_bias(self) -> Tensor:
        return torch.zeros(3, len(self.counts), device=self.counts.device)
