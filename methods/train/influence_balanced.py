"""Influence-balanced loss: images that bend the decision boundary most count least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Phase, Reference, Seen
from ltbench.settings import setting

FLOOR = 1e-3
"""Added to the influence, as published: that of an image that is certain is 0."""


@dataclass(frozen=True)
class InfluenceBalancedHyper(Hyper):
    alpha: float = setting(1000.0, above=0, help="factor of the loss")
    influence_from: float = setting(
        0.5, low=0.01, high=0.99, help="progress at which the influence counts"
    )
    lr: float = setting(0.01, above=0, help="learning rate from then on, times that of the recipe")


class InfluenceBalanced(Method[InfluenceBalancedHyper]):
    """First CE(z, y), then L = mean_i w_y CE(z_i, y_i) alpha / (|p_i - e_y|_1 |f_i|_1 + 1e-3).

    p = softmax(z), e_y one-hot, f the features that the head was given, w_j ~ 1 / n_j scaled to sum
    C; the influence in the denominator has its gradient, too. Two phases, each with the recipe's schedule;
    published is one schedule over both, its rates in the second times ``lr``.

    No closed form: features may grow instead of logits. Reference bias -log w, the optimum of
    cross-entropy weighted by w.
    """

    name: ClassVar = "influence-balanced"
    title: ClassVar = "Influence-balanced loss"
    hyper_type: ClassVar = InfluenceBalancedHyper
    reference: ClassVar = Reference(
        authors="Park, Lim, Jeon, Choi",
        title="Influence-balanced loss for imbalanced visual classification",
        venue="ICCV",
        year=2021,
        url="https://arxiv.org/abs/2110.02444",
        settings={
            "alpha": 1000.0,
            "influence_from": 0.5,
            "lr": 0.01,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
        },
        settings_source="cifar_train.py, opts.py and losses.py of pseulki/IB-Loss",
    )

    def __init__(self, counts: Tensor, hyper: InfluenceBalancedHyper) -> None:
        super().__init__(counts, hyper)
        weights = 1 / counts.double()
        self._weights = (weights * len(counts) / weights.sum()).float()

    def phases(self) -> tuple[Phase, ...]:
        start = self.hyper.influence_from
        return (
            Phase("cross-entropy", share=start),
            Phase("influence", share=1 - start, lr=self.hyper.lr),
        )

    def loss_stage(self, progress: float) -> bool:
        return progress >= self.hyper.influence_from

    def objective(self, seen: Seen) -> Tensor:
        z, y = seen.logits[0, :, 0], seen.targets
        if seen.phase != "influence":
            return F.cross_entropy(z, y)
        each = F.cross_entropy(z, y, weight=self._weights, reduction="none")
        away = (z.softmax(dim=1) - F.one_hot(y, z.shape[1])).abs().sum(dim=1)
        influence = away * seen.features[0, :, 0].abs().sum(dim=1)
        return (each * self.hyper.alpha / (influence + FLOOR)).mean()

    def reference_bias(self) -> Tensor:
        return -self._weights.log()[None]
