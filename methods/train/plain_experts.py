"""Plain experts: SADE's network, every expert on cross-entropy; what of SADE is an ensemble."""

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
class PlainExpertsHyper(Hyper):
    experts: int = setting(3, low=2, help="number of experts")
    reduced: bool = setting(True, help="second and third stage of each expert at 3/4 width")


class PlainExperts(Method[PlainExpertsHyper]):
    """L = sum_e CE(z_e, y), the experts apart by their fresh weights alone. Bias 0 for each.

    A control, not a published method: network, sum and recipe are SADE's, without the two losses
    that lean on the prior. What ``sade`` gains over it is due to experts of different skill.
    """

    name: ClassVar = "plain-experts"
    title: ClassVar = "Plain experts"
    mean_over_images = True
    family: ClassVar = "experts"
    hyper_type: ClassVar = PlainExpertsHyper
    reference: ClassVar = Reference(
        authors="Zhang, Hooi, Hong, Feng",
        title="Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition",
        venue="NeurIPS",
        year=2022,
        url="https://arxiv.org/abs/2107.09249",
        settings={
            "experts": 3,
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
        settings_source="configs/config_cifar100_ir100_sade.json of Vanint/SADE-AgnosticLT, "
        "whose first loss all experts have",
    )

    def architecture(self) -> Architecture:
        return Architecture(experts=self.hyper.experts, head="cosine", reduced=self.hyper.reduced)

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
        batch, experts, _ = logits.shape
        per_logit = F.cross_entropy(
            logits.flatten(0, 1), targets.repeat_interleave(experts), reduction="sum"
        )
        return per_logit / batch  # the sum over experts of their means over the batch

    def bias(self) -> Tensor:
        return torch.zeros(self.hyper.experts, len(self.counts), device=self.counts.device)
