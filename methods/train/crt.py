"""cRT: the heads of a trained network anew, with classes equally likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Parent, Phase, Reference, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class CrtHyper(Hyper):
    sampler: float = setting(0.0, low=-4, high=4, help="q of p(class) ~ n^q; 0: equally likely")
    lr: float = setting(1.0, above=0, help="learning rate, times that of the recipe")


class Crt(Method[CrtHyper]):
    """L = -log softmax(z)_y on batches with p(class) ~ n^q, fresh heads on the frozen trunk of ce.

    The logits carry the prior n^q: bias (1 - q) log pi, log pi with classes equally likely.
    """

    name: ClassVar = "crt"
    title: ClassVar = "cRT (classifier re-training)"
    family = "two-stage"
    hyper_type: ClassVar = CrtHyper
    reference: ClassVar = Reference(
        authors="Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis",
        title="Decoupling representation and classifier for long-tailed recognition",
        venue="ICLR",
        year=2020,
        url="https://arxiv.org/abs/1910.09217",
    )

    def parent(self) -> Parent:
        return Parent("ce")

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(
                "heads",
                train="heads",
                sampler=self.hyper.sampler,
                reset_heads=True,
                lr=self.hyper.lr,
                schedule="cosine",
            ),
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
        return (1 - self.hyper.sampler) * log_prior(self.counts)[None]
