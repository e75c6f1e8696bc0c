"""SADE: three experts of different skill, aggregated at test time without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Reference, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class SadeHyper(Hyper):
    tau: float = setting(2.0, low=0, help="strength of the inverse prior in the third loss")
    reduced: bool = setting(True, help="second and third stage of each expert at 3/4 width")


class Sade(Method[SadeHyper]):
    """L = sum_e CE(z_e + b_e, y), b = (0, log pi, log pi - tau log pi-bar).

    pi-bar is the inverse prior by rank: the class of rank r by (count descending, class index) gets
    the prior of the class of rank C-1-r. The three experts favour head, all and tail classes.
    """

    name: ClassVar = "sade"
    title: ClassVar = "SADE"
    mean_over_images = True
    family: ClassVar = "experts"
    hyper_type: ClassVar = SadeHyper
    strategy: ClassVar = "stability"
    reference: ClassVar = Reference(
        authors="Zhang, Hooi, Hong, Feng",
        title="Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition",
        venue="NeurIPS",
        year=2022,
        url="https://arxiv.org/abs/2107.09249",
        settings={
            "tau": 2.0,
            "reduced": True,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": True,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.1,
            "recipe.crop_padding": 4,
            "recipe.flip": True,
            "recipe.rotation": 15.0,
        },
        settings_source="configs/config_cifar100_ir100_sade.json of Vanint/SADE-AgnosticLT",
    )

    def __init__(self, counts: Tensor, hyper: SadeHyper) -> None:
        super().__init__(counts, hyper)
        log_pi = log_prior(counts)
        inverse = log_pi[inverse_by_rank(counts)]
        zero = torch.zeros_like(log_pi)
        self._bias = torch.stack([zero, log_pi, log_pi - hyper.tau * inverse])

    def architecture(self) -> Architecture:
        return Architecture(experts=3, head="cosine", reduced=self.hyper.reduced)

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
        batch, experts, classes = logits.shape
        adjusted = (logits + self._bias).reshape(batch * experts, classes)
        per_logit = F.cross_entropy(adjusted, targets.repeat_interleave(experts), reduction="sum")
        return per_logit / batch  # the sum over experts of their means over the batch

    def bias(self) -> Tensor:
        return self._bias


def inverse_by_rank(counts: Tensor) -> Tensor:
    """For each class, the class of opposite rank: ``(C,)`` counts to ``(C,)`` class indices.

    Rank by (count descending, class index). A stable order makes ties unambiguous.
    """
    order = torch.argsort(counts, descending=True, stable=True)
    opposite = torch.empty_like(order)
    opposite[order] = order.flip(0)
    return opposite
