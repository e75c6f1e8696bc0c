"""DirMixE: experts trained over label distributions that are themselves drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Reference, Seen, log_prior
from ltbench.methods.train.sade import inverse_by_rank
from ltbench.settings import setting

FLOOR = 1e-9
"""Added to the ratio inside the logarithm, as published: a drawn probability may be 0."""


@dataclass(frozen=True)
class DirMixEHyper(Hyper):
    power: float = setting(1.3, low=0, help="exponent p of the ratio of priors")
    draws: int = setting(60, low=1, help="label distributions drawn in each step (T)")
    concentration: float = setting(1e4, above=0, help="sum of the parameters of a Dirichlet")
    variance: float = setting(5.0, low=0, help="weight of the upper semi-variance (lambda)")
    variance_from: float = setting(0.8, low=0, high=1, help="progress at which it starts")
    reduced: bool = setting(True, help="second and third stage of each expert at 3/4 width")


class DirMixE(Method[DirMixEHyper]):
    """l_t = CE(z_k + p (log pi - log w_t), y), k = k_t; L = mean_t l_t + lambda S.

    In each step t = 1 ... T label distributions are drawn: a component k_t, uniform of three, and
    w_t ~ Dirichlet(a m_k), a the concentration, m = pi, uniform, and pi reversed by rank (count
    descending, class index). S, from ``variance_from`` on, is the upper semi-variance
    sum_(l_t > mean) (l_t - mean)^2 / max(number of these - 1, 1). Expert k learns from the draws of
    component k.

    Reference bias p log pi + log E[w^-p] for expert k, up to a constant: with a_j = a m_kj it is
    p log pi_j + lgamma(a_j - p) - lgamma(a_j), a_j not below p + 0.05. Departs from the published
    code in one thing: that makes a pool of draws once and shuffles it; here each step has its own.
    """

    name: ClassVar = "dirmixe"
    title: ClassVar = "DirMixE"
    family: ClassVar = "experts"
    hyper_type: ClassVar = DirMixEHyper
    strategy: ClassVar = "stability"
    version: ClassVar = 2
    reference: ClassVar = Reference(
        authors="Yang, Xu, Wang, Li, Han, Bao, Cao, Huang",
        title="Harnessing hierarchical label distribution variations in test agnostic long-tail recognition",
        venue="ICML",
        year=2024,
        url="https://arxiv.org/abs/2405.07780",
        settings={
            "power": 1.3,
            "draws": 60,
            "concentration": 1e4,
            "variance": 5.0,
            "variance_from": 0.8,
            "reduced": True,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": True,
            "recipe.weight_decay": 1e-3,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.1,
            "recipe.crop_padding": 4,
            "recipe.flip": True,
            "recipe.rotation": 15.0,
        },
        settings_source="configs/train/cifar100.json and model/loss.py of scongl/DirMixE",
    )

    def __init__(self, counts: Tensor, hyper: DirMixEHyper) -> None:
        super().__init__(counts, hyper)
        self._log_pi = log_prior(counts)
        pi = counts.double() / counts.sum()
        uniform = torch.full_like(pi, 1 / len(pi))
        self._means = torch.stack([pi, uniform, pi[inverse_by_rank(counts)]])

    def architecture(self) -> Architecture:
        return Architecture(experts=3, head="cosine", reduced=self.hyper.reduced)

    def loss_stage(self, progress: float) -> bool:
        return progress >= self.hyper.variance_from  # whether the semi-variance counts

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Components ``(T,)`` and label distributions ``(T, C)``, on the CPU.

        numpy has a Dirichlet that takes a generator; its seed is drawn from ``rng``.
        """
        which = torch.randint(3, (self.hyper.draws,), generator=rng)
        seed = torch.randint(2**62, (1,), generator=rng)
        source = np.random.default_rng(int(seed))
        drawn = np.stack([source.dirichlet(self._dirichlets[k]) for k in which.tolist()])
        return which, torch.from_numpy(drawn).float()

    @cached_property
    def _dirichlets(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """``(3, C)`` parameters, fetched from the device once, not at each step."""
        return self.hyper.concentration * self._means.cpu().numpy()

    def objective(self, seen: Seen) -> Tensor:
        which, w = seen.draws
        return self.risk(seen.logits[0], seen.targets, which, w, seen.progress)

    def risk(
        self, logits: Tensor, targets: Tensor, which: Tensor, w: Tensor, progress: float
    ) -> Tensor:
        """L ``()`` at the components ``(T,)`` and label distributions ``(T, C)`` that were drawn."""
        ratio = (w / self._log_pi.exp()) ** self.hyper.power  # (T, C)
        inside = logits[:, which] - (ratio + FLOOR).log()
        labels = targets[:, None].expand(-1, len(which)).flatten()
        each = F.cross_entropy(inside.flatten(0, 1), labels, reduction="none")
        losses = each.view(len(targets), len(which)).mean(dim=0)
        mean = losses.mean()
        if not self.loss_stage(progress):
            return mean
        above = (losses - mean).clamp_min(0)
        semi = above.square().sum() / ((above > 0).sum() - 1).clamp_min(1)
        return mean + self.hyper.variance * semi

    def reference_bias(self) -> Tensor:
        power = self.hyper.power
        a = (self.hyper.concentration * self._means).clamp_min(power + 0.05)
        moment = torch.lgamma(a - power) - torch.lgamma(a)  # log E[w^-p], finite for a > p
        return (power * self._log_pi + moment).float()
