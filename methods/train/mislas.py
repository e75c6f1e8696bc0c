"""MiSLAS: on features of mixup, the head with smoothed labels, its rows scaled, classes equally likely."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Parent, Phase, Reference, log_prior
from ltbench.models.heads import ScaledHead
from ltbench.settings import setting

FLOOR = 1e-12
"""Of a probability: logits may be surer than smoothed labels can make them."""


@dataclass(frozen=True)
class MislasHyper(Hyper):
    alpha: float = setting(1.0, above=0, help="mixup's Beta(alpha, alpha) in the first stage")
    smooth_head: float = setting(0.4, low=0, high=0.99, help="smoothing of the most frequent class")
    smooth_tail: float = setting(0.1, low=0, high=0.99, help="smoothing of the rarest class")
    head_lr: float = setting(0.2, above=0, help="learning rate of the head, times the recipe's")
    scale_lr: float = setting(1.0, above=0, help="that of the scales, times the recipe's")


class Mislas(Method[MislasHyper]):
    """L = mean of (1 - e_y) h_y + e_y mean_c h_c, h = -log softmax(s z), classes equally likely.

    e_c = e_tail + (e_head - e_tail) sin(pi/2 (n_c - n_min) / (n_max - n_min)); e_tail where all counts
    are equal. The network is that of mixup: its trunk's statistics follow the batches, its head goes on,
    the scales s ``(C,)`` start at 1; both rates fall as a cosine. Weight decay of the scales is that at
    the head's rate, the published one that at their own.

    Posterior: the optimum p has p_c = (1 - e_c) eta_c + S/C, S = sum_c e_c eta_c. With sum eta = 1 that
    is solved for eta, the posterior with classes equally likely, to which log pi is added.
    """

    name: ClassVar = "mislas"
    title: ClassVar = "MiSLAS"
    family = "two-stage"
    hyper_type: ClassVar = MislasHyper
    reference: ClassVar = Reference(
        authors="Zhong, Cui, Liu, Jia",
        title="Improving calibration for long-tailed recognition",
        venue="CVPR",
        year=2021,
        url="https://arxiv.org/abs/2104.00466",
        settings={
            "alpha": 1.0,
            "smooth_head": 0.4,
            "smooth_tail": 0.1,
            "head_lr": 0.2,
            "scale_lr": 1.0,
            "recipe.epochs": 10,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
        },
        settings_source="config/cifar100/cifar100_imb001_stage2_mislas.yaml and train_stage2.py of "
        "dvlab-research/MiSLAS; the second stage alone",
    )

    def __init__(self, counts: Tensor, hyper: MislasHyper) -> None:
        super().__init__(counts, hyper)
        n = counts.double()
        place = (n - n.min()) / (n.max() - n.min()).clamp_min(1)
        smooth = hyper.smooth_head - hyper.smooth_tail
        self._smoothing = (hyper.smooth_tail + smooth * (math.pi / 2 * place).sin()).float()

    def parent(self) -> Parent:
        return Parent("mixup", {"alpha": self.hyper.alpha})

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(
                "head",
                train="heads",
                sampler="class-balanced",
                batchnorm="adapted",
                lr=self.hyper.head_lr,
                schedule="cosine",
            ),
        )

    def build(self, network: Network) -> None:
        (head,) = network.heads()
        rate = math.sqrt(self.hyper.scale_lr / self.hyper.head_lr)
        network.set_head(0, ScaledHead(head, len(self.counts), rate))

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
        h = -logits[:, 0].log_softmax(dim=1)
        smoothing = self._smoothing[targets]
        own = h.gather(1, targets[:, None])[:, 0]
        return ((1 - smoothing) * own + smoothing * h.mean(dim=1)).mean()

    def posterior(self, logits: Tensor) -> Tensor:
        p, keep = logits.softmax(dim=-1), 1 - self._smoothing
        spread = ((p / keep).sum(dim=-1, keepdim=True) - 1) / (1 / keep).sum()  # S/C
        eta = (p - spread) / keep
        return eta.clamp_min(FLOOR).log() + log_prior(self.counts)
