"""mixup: cross-entropy on weighted means of two images and of their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Images, Method, Reference
from ltbench.mixing import beta, mixed_with, soft_cross_entropy
from ltbench.reweighting import effective_weights
from ltbench.settings import setting


@dataclass(frozen=True)
class MixupHyper(Hyper):
    alpha: float = setting(1.0, above=0, help="of Beta(alpha, alpha), the mixing weight of a batch")
    reweight_from: float = setting(
        1.0, low=0, high=1, help="progress at which re-weighting starts (DRW); 1: never"
    )
    beta: float = setting(0.9999, low=0, high=1, help="of the effective number of samples")


class Mixup(Method[MixupHyper]):
    """L = mean of -sum_c v_c t_c log softmax(z)_c on x = w x_i + (1 - w) x_j, t = w y_i + (1 - w) y_j.

    One w ~ Beta(a, a) a batch, j a permutation of it. v = 1; from ``reweight_from`` on, which by default
    is never, v_j = (1-beta)/(1-beta^n_j), scaled to sum C. Pairs of one stream leave the labels'
    distribution as it is: bias 0 without weights, reference -log v with them.
    """

    name: ClassVar = "mixup"
    title: ClassVar = "mixup"
    family = "mixing"
    hyper_type: ClassVar = MixupHyper
    reference: ClassVar = Reference(
        authors="Zhang, Cisse, Dauphin, Lopez-Paz",
        title="mixup: Beyond empirical risk minimization",
        venue="ICLR",
        year=2018,
        url="https://arxiv.org/abs/1710.09412",
        settings={
            "alpha": 1.0,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
            "recipe.gamma": 0.1,
        },
        settings_source="first stage of config/cifar100 of dvlab-research/MiSLAS",
    )

    def __init__(self, counts: Tensor, hyper: MixupHyper) -> None:
        super().__init__(counts, hyper)
        self._weights = effective_weights(counts, hyper.beta)

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        return beta(self.hyper.alpha, 1, rng), torch.randperm(batch, generator=rng)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        weight, partner = draws
        return mixed_with(first, partner, weight, len(self.counts))

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

    def bias(self) -> Tensor | None:
        weighted = self.hyper.reweight_from < 1
        return None if weighted else torch.zeros_like(self._weights)[None]

    def reference_bias(self) -> Tensor | None:
        return -self._weights.log()[None] if self.hyper.reweight_from < 1 else None
