"""RIDE: routing diverse distribution-aware experts, first stage (all experts vote)."""

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
class RideHyper(Hyper):
    experts: int = setting(3, low=2, help="number of experts")
    diversity_factor: float = setting(
        -0.45, help="weight of the divergence; negative: pushed apart"
    )
    max_margin: float = setting(0.5, low=0, help="LDAM margin of the rarest class, in cosines")
    scale: float = setting(30.0, above=0, help="scale of the cosine logits")
    reweight_from: float = setting(0.8, low=0, high=1, help="progress at which re-weighting starts")
    beta: float = setting(0.9999, low=0, high=1, help="of the effective number of samples")
    temperature: float = setting(1.0, above=0, help="base temperature of the diversity term")
    reweight_factor: float = setting(0.05, low=0, high=1, help="how far temperatures follow counts")
    reduced: bool = setting(True, help="second and third stage of each expert at 3/4 width")


class Ride(Method[RideHyper]):
    """L = sum_e [ LDAM(z_e, y) + lambda Tm^2 KL(softmax(zm / T) || softmax(z_e / T)) ].

    LDAM: cross-entropy after the target logit lost s m_y, m_j = m_max (n_j / n_min)^(-1/4). From
    ``reweight_from`` on (deferred re-weighting) it is weighted by w_j = (1-beta)/(1-beta^n_j),
    scaled to sum C, and T_j = (C pi_j f + 1 - f) / max_k(.) instead of 1; Tm = mean_j T_j. zm is the
    mean of the experts, without gradient. The term is kept per expert also at lambda = 0, unlike the
    published code, which then silently trains the mean of the experts.
    """

    name: ClassVar = "ride"
    title: ClassVar = "RIDE"
    family: ClassVar = "experts"
    hyper_type: ClassVar = RideHyper
    reference: ClassVar = Reference(
        authors="Wang, Lian, Miao, Liu, Yu",
        title="Long-tailed recognition by routing diverse distribution-aware experts",
        venue="ICLR",
        year=2021,
        url="https://arxiv.org/abs/2010.01809",
        settings={
            "experts": 3,
            "diversity_factor": -0.45,
            "max_margin": 0.5,
            "scale": 30.0,
            "reweight_from": 0.8,
            "beta": 0.9999,
            "temperature": 1.0,
            "reweight_factor": 0.05,
            "reduced": True,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": True,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
        },
        settings_source="configs/config_imbalance_cifar100_ride.json of RIDE-LongTailRecognition",
    )

    def __init__(self, counts: Tensor, hyper: RideHyper) -> None:
        super().__init__(counts, hyper)
        n = counts.double()
        classes = len(counts)
        self._margins = ldam_margins(counts, hyper.max_margin, hyper.scale)
        self._weights = effective_weights(counts, hyper.beta)
        factor = hyper.reweight_factor
        spread = classes * (n / n.sum()) * factor + 1 - factor
        self._temperatures = (hyper.temperature * spread / spread.max()).float()

    def architecture(self) -> Architecture:
        hyper = self.hyper
        return Architecture(hyper.experts, "cosine", hyper.scale, hyper.reduced)

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
        deferred = self.loss_stage(progress)
        weights = self._weights if deferred else None
        temperature = (
            self._temperatures
            if deferred
            else torch.full_like(self._weights, self.hyper.temperature)
        )
        _, experts, classes = logits.shape
        lowered = logits - self._margins * F.one_hot(targets, classes)[:, None]
        goal = F.softmax(logits.detach().mean(dim=1) / temperature, dim=1)
        total = logits.new_zeros(())
        for e in range(experts):
            total = total + F.cross_entropy(lowered[:, e], targets, weight=weights)
            own = F.log_softmax(logits[:, e] / temperature, dim=1)
            divergence = F.kl_div(own, goal, reduction="batchmean")
            total = total + self.hyper.diversity_factor * temperature.mean() ** 2 * divergence
        return total

    def reference_bias(self) -> Tensor:
        """-log w for every expert: the optimum of cross-entropy weighted by w all through training.

        Re-weighting of the last epochs alone binds less: a fit scales this by kappa in [0, 1].
        """
        weighted = self.hyper.reweight_from < 1
        bias = -self._weights.log() if weighted else torch.zeros_like(self._weights)
        return bias.expand(self.hyper.experts, -1)
