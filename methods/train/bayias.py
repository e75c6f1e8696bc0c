"""Bayias with UniMix: the bias of the prior taken off in the loss, on images mixed towards the tail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.special import betainc
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Images, Method, Reference, log_prior
from ltbench.mixing import beta, mixed_with, soft_cross_entropy
from ltbench.settings import setting


@dataclass(frozen=True)
class BayiasHyper(Hyper):
    alpha: float = setting(
        0.8, low=0, help="UniMix: of Beta(alpha, alpha), part of the mixing weight; 0: no mixing"
    )
    partner: float = setting(
        -0.1, low=-4, high=4, help="UniMix: k of the chance ~ n^k to be taken as a partner"
    )


class Bayias(Method[BayiasHyper]):
    """L = mean of -sum_c t_c log softmax(z + log pi - log(1/C))_c, on images mixed by UniMix.

    x = w_i x_i + (1 - w_i) x_j, t likewise; w_i = b_i + n_j / (n_i + n_j), less 1 where above 1, b_i ~
    Beta(a, a); j any image of the batch, with a chance ~ n_j^k, n counts of the images' classes.

    Without mixing (alpha = 0) it is balanced softmax, bias log pi + log C. UniMix moves the labels'
    distribution to q, in closed form for large batches: reference log pi + log C + log pi - log q.
    """

    name: ClassVar = "bayias"
    title: ClassVar = "Bayias with UniMix"
    family = "mixing"
    hyper_type: ClassVar = BayiasHyper
    reference: ClassVar = Reference(
        authors="Xu, Chai, Yuan",
        title="Towards calibrated model for long-tailed visual recognition from prior perspective",
        venue="NeurIPS",
        year=2021,
        url="https://arxiv.org/abs/2111.03874",
        settings={
            "alpha": 0.8,
            "partner": -0.1,
            "recipe.epochs": 200,
            "recipe.batch_size": 64,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
        },
        settings_source="core.py and config/cifar100_100.py of XuZhengzhuo/Prior-LT",
    )

    def __init__(self, counts: Tensor, hyper: BayiasHyper) -> None:
        super().__init__(counts, hyper)
        self._shift = log_prior(counts) + torch.tensor(float(len(counts))).log().item()

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        if self.hyper.alpha == 0:
            return ()
        waits = torch.empty(batch, batch).exponential_(generator=rng)
        return beta(self.hyper.alpha, batch, rng), waits

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        if not draws:
            return first
        offset, waits = draws
        n = self.counts[first.targets].float()
        # Of exponential waiting times with rates r_j the j-th is the shortest with a chance ~ r_j.
        partner = (waits / n**self.hyper.partner).argmin(dim=1)
        weight = unimix_weight(offset, n, n[partner])
        return mixed_with(first, partner, weight, len(self.counts))

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
        return soft_cross_entropy(logits[:, 0] + self._shift, targets)

    def label_distribution(self) -> Tensor:
        """q ``(C,)`` float64, what the labels of mixed images follow in large batches."""
        n = self.counts.double()
        pi, alpha = n / n.sum(), self.hyper.alpha
        partners = pi * n**self.hyper.partner
        partners = partners / partners.sum()
        share = n / (n[:, None] + n)  # [c, d]: n_d / (n_c + n_d)
        # E w = E b + share - P(b + share > 1), and b is symmetric.
        above = torch.from_numpy(betainc(alpha, alpha, share.cpu().numpy())).to(share)
        own = 0.5 + share - above
        return pi * (own @ partners) + partners * (pi @ (1 - own))

    def bias(self) -> Tensor | None:
        return self._shift[None] if self.hyper.alpha == 0 else None

    def reference_bias(self) -> Tensor | None:
        if self.hyper.alpha == 0:
            return None
        return (self._shift + log_prior(self.counts) - self.label_distribution().log().float())[
            None
        ]


def unimix_weight(offset: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """``(B,)`` b + n_j / (n_i + n_j), less 1 where above 1; own: n_i, other: n_j."""
    weight = offset + other / (own + other)
    return torch.where(weight > 1, weight - 1, weight)
