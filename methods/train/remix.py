"""Remix: mixup whose label goes to the rarer class, with deferred re-weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.special import betainc
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Images, Method, Reference, log_prior
from ltbench.mixing import beta, mixed_with, soft_cross_entropy
from ltbench.reweighting import effective_weights
from ltbench.settings import setting


@dataclass(frozen=True)
class RemixHyper(Hyper):
    alpha: float = setting(1.0, above=0, help="of Beta(alpha, alpha), the mixing weight of a batch")
    kappa: float = setting(3.0, low=1, help="ratio of counts from which a class is the rarer one")
    tau: float = setting(0.5, low=0, high=1, help="largest weight of the other image's pixels")
    reweight_from: float = setting(
        0.8, low=0, high=1, help="progress at which re-weighting starts (DRW); 1: never"
    )
    beta: float = setting(0.9999, low=0, high=1, help="of the effective number of samples")


class Remix(Method[RemixHyper]):
    """L = mean of -sum_c v_c t_c log softmax(z)_c on x = w x_i + (1 - w) x_j, t = u y_i + (1 - u) y_j.

    u = 0 where n_i >= kappa n_j and w < tau; 1 where n_j >= kappa n_i and 1 - w < tau; else w. One w ~
    Beta(a, a) a batch, j a permutation of it. v = 1, from ``reweight_from`` on (1-beta)/(1-beta^n_j),
    scaled to sum C; divided by the number of images, as published.

    Rare classes get labels of frequent ones: their distribution is q_c = 2 pi_c sum_d pi_d E u(c, d).
    Reference bias log pi - log q, and -log v where there are weights.
    """

    name: ClassVar = "remix"
    title: ClassVar = "Remix"
    family = "mixing"
    hyper_type: ClassVar = RemixHyper
    reference: ClassVar = Reference(
        authors="Chou, Chang, Pan, Wei, Juan",
        title="Remix: Rebalanced mixup",
        venue="ECCV Workshops",
        year=2020,
        url="https://arxiv.org/abs/2007.03943",
        settings={
            "kappa": 3.0,
            "tau": 0.5,
            "beta": 0.9999,
            "recipe.epochs": 300,
        },
        settings_source="imbalanceddl/strategy/_remix_drw.py of ntucllab/imbalanced-DL, which weighs "
        "from epoch 160 of 300 on",
    )

    def __init__(self, counts: Tensor, hyper: RemixHyper) -> None:
        super().__init__(counts, hyper)
        self._weights = effective_weights(counts, hyper.beta)

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        return beta(self.hyper.alpha, 1, rng), torch.randperm(batch, generator=rng)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        weight, partner = draws
        own, other = self.counts[first.targets], self.counts[first.targets[partner]]
        label_weight = self.label_weight(weight, own, other)
        return mixed_with(first, partner, weight, len(self.counts), label_weight)

    def label_weight(self, weight: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """u of images with ``own`` training images in their class, mixed with those of ``other``."""
        kappa, tau = self.hyper.kappa, self.hyper.tau
        to_other = (own >= kappa * other) & (weight < tau)
        to_own = (other >= kappa * own) & (1 - weight < tau)
        # Of equally frequent classes, kappa = 1, neither is the rarer one.
        same = own == other
        given = torch.where(to_other & ~same, torch.zeros_like(weight), weight)
        return torch.where(to_own & ~same, torch.ones_like(weight), given)

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
        weights = self._weights if self.loss_stage(progress) else None
        return soft_cross_entropy(logits[:, 0], targets, weights)

    def label_distribution(self) -> Tensor:
        """q ``(C,)`` float64, what the labels of mixed images follow."""
        n = self.counts.double()
        pi, alpha, kappa = n / n.sum(), self.hyper.alpha, self.hyper.kappa
        # E u(c, d) = 1/2 - E[w; w < tau] where class c is the frequent one, 1/2 + that where it is rare.
        given = 0.5 * float(betainc(alpha + 1, alpha, self.hyper.tau))
        ratio = n[:, None] / n
        frequent = ((ratio >= kappa) & (ratio != 1)).double()
        share = 0.5 - given * (frequent - frequent.T)
        return 2 * pi * (share @ pi)

    def reference_bias(self) -> Tensor:
        bias = log_prior(self.counts) - self.label_distribution().log().float()
        weighted = self.hyper.reweight_from < 1
        return (bias - self._weights.log() if weighted else bias)[None]
