"""LDAM-DRW: margins that grow with rarity, re-weighting in the last epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Reference
from ltbench.reweighting import effective_weights, ldam_margins
from ltbench.settings import setting


@dataclass(frozen=True)
class LdamDrwHyper(Hyper):
    max_margin: float = setting(0.5, low=0, help="margin of the rarest class, in cosines")
    scale: float = setting(30.0, above=0, help="scale of the cosine logits")
    reweight_from: float = setting(
        0.8, low=0, high=1, help="progress at which re-weighting starts; 1: never"
    )
    beta: float = setting(0.9999, low=0, high=1, help="of the effective number of samples")


class LdamDrw(Method[LdamDrwHyper]):
    """L = sum_i w_y CE(z - s m_y e_y, y) / sum_i w_y, m_j = m_max (n_j / n_min)^(-1/4), cosine logits z.

    w = 1 before ``reweight_from``, then w_j = (1-beta)/(1-beta^n_j), scaled to sum C. Margins shift no
    prior; the weights shift it by -log w, to which the last epochs go a part of the way.
    """

    name: ClassVar = "ldam-drw"
    title: ClassVar = "LDAM-DRW"
    hyper_type: ClassVar = LdamDrwHyper
    reference: ClassVar = Reference(
        authors="Cao, Wei, Gaidon, Arechiga, Ma",
        title="Learning imbalanced datasets with label-distribution-aware margin loss",
        venue="NeurIPS",
        year=2019,
        url="https://arxiv.org/abs/1906.07413",
        settings={
            "max_margin": 0.5,
            "scale": 30.0,
            "reweight_from": 0.8,
            "beta": 0.9999,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
        },
        settings_source="cifar_train.py and losses.py of kaidic/LDAM-DRW",
    )

    def __init__(self, counts: Tensor, hyper: LdamDrwHyper) -> None:
        super().__init__(counts, hyper)
        self._margins = ldam_margins(counts, hyper.max_margin, hyper.scale)
        self._weights = effective_weights(counts, hyper.beta)

    def architecture(self) -> Architecture:
        return Architecture(head="cosine", scale=self.hyper.scale)

    def loss_stage(self, progress: float) -> bool:
        return progress >= self.hyper.reweight_from  # whether re-weighting has begun

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        z = logits[:, 0]
        lowered = z - self._margins * F.one_hot(targets, z.shape[1])
        weights = self._weights if self.loss_stage(progress) else None
        return F.cross_entropy(lowered, targets, weight=weights)

    def reference_bias(self) -> Tensor:
        """-log w, the optimum of cross-entropy weighted all through training; 0 without weights."""
        weighted = self.hyper.reweight_from < 1
        return (-self._weights.log() if weighted else torch.zeros_like(self._weights))[None]
