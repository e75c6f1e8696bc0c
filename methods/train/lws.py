"""LWS: one learnable scale a class on the logits of a trained network, classes equally likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Parent, Phase, Reference, log_prior
from ltbench.models.heads import ScaledHead
from ltbench.settings import setting


@dataclass(frozen=True)
class LwsHyper(Hyper):
    sampler: float = setting(0.0, low=-4, high=4, help="q of p(class) ~ n^q; 0: equally likely")
    lr: float = setting(1.0, above=0, help="learning rate, times that of the recipe")


class Lws(Method[LwsHyper]):
    """L = -log softmax(s z)_y on batches with p(class) ~ n^q, z the logits of ce, s ``(C,)`` from 1 on.

    Trunk and head stay as they are. A head that could follow would carry the prior n^q; C numbers come
    near it, so that (1 - q) log pi is a reference.
    """

    name: ClassVar = "lws"
    title: ClassVar = "LWS (learnable weight scaling)"
    family = "two-stage"
    hyper_type: ClassVar = LwsHyper
    reference: ClassVar = Reference(
        authors="Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis",
        title="Decoupling representation and classifier for long-tailed recognition",
        venue="ICLR",
        year=2020,
        url="https://arxiv.org/abs/1910.09217",
        settings={
            "sampler": 0.0,
            "recipe.epochs": 5,
            "recipe.batch_size": 512,
            "recipe.lr": 0.2,
        },
        settings_source="classification/config/CIFAR100_LT/cls_lws.yaml of "
        "KaihuaTang/Long-Tailed-Recognition.pytorch; the second stage alone, its rate a cosine",
    )

    def parent(self) -> Parent:
        return Parent("ce")

    def phases(self) -> tuple[Phase, ...]:
        hyper = self.hyper
        return (
            Phase("scales", train="heads", sampler=hyper.sampler, lr=hyper.lr, schedule="cosine"),
        )

    def build(self, network: Network) -> None:
        (head,) = network.heads()
        head.requires_grad_(False)
        network.set_head(0, ScaledHead(head, len(self.counts)))

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

    def reference_bias(self) -> Tensor:
        return (1 - self.hyper.sampler) * log_prior(self.counts)[None]
