"""NCL: whole networks that learn from one another, on all classes and on the hard ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Phase, Reference
from ltbench.settings import setting


@dataclass(frozen=True)
class NclHyper(Hyper):
    experts: int = setting(3, low=2, help="number of networks")
    hard: float = setting(
        0.3, above=0, high=1, help="share of the classes that are hard for an image"
    )
    distillation: float = setting(0.6, low=0, help="weight of the divergence, on all classes")
    hard_distillation: float = setting(0.6, low=0, help="weight of the divergence, on hard ones")


class Ncl(Method[NclHyper]):
    """L = sum_e [CE(u_e, y) + CE(m u_e, y)] + a D(u) + b D(m u), u_e = z_e + log n.

    D(u) = sum_(i != j) KL(softmax u_j || softmax u_i) / (E - 1), the mean over images, with gradient on
    both sides. m is 1 for the target and the largest other logits of the first network, ``hard`` C in
    all, else 0: a masked logit is 0, not gone, so that log n is not the same as log pi. All networks
    see one strong view.

    Reference bias log n: exact without the hard classes, which move the optimum by 0.1 in log p.
    Without the contrastive part of its paper; the 1e-9 inside the published logarithms is left out.
    """

    name: ClassVar = "ncl"
    title: ClassVar = "NCL (nested collaborative learning)"
    family = "experts"
    hyper_type: ClassVar = NclHyper
    reference: ClassVar = Reference(
        authors="Li, Tan, Wan, Lei, Guo",
        title="Nested collaborative learning for long-tailed visual recognition",
        venue="CVPR",
        year=2022,
        url="https://arxiv.org/abs/2203.15359",
        settings={
            "experts": 3,
            "hard": 0.3,
            "distillation": 0.6,
            "hard_distillation": 0.6,
            "recipe.epochs": 400,
            "recipe.batch_size": 64,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.1,
        },
        settings_source="config/CIFAR/CIFAR100/cifar100_im100_NCL.yaml and lib/loss/loss.py of "
        "Bazinga699/NCL (30 of 100 classes hard)",
    )

    def __init__(self, counts: Tensor, hyper: NclHyper) -> None:
        super().__init__(counts, hyper)
        self._log_n = counts.double().log().float()

    def architecture(self) -> Architecture:
        return Architecture(self.hyper.experts, share="nothing")

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(views=("strong",)),)

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
        u = logits + self._log_n
        ranked = logits[:, 0].detach().scatter(1, targets[:, None], torch.inf)
        chosen = ranked.topk(max(1, round(self.hyper.hard * u.shape[2])), dim=1).indices
        mask = torch.zeros_like(ranked).scatter(1, chosen, 1.0)[:, None]
        every, hard = self.hyper.distillation, self.hyper.hard_distillation
        return _together(u, targets, every) + _together(u * mask, targets, hard)

    def reference_bias(self) -> Tensor:
        return self._log_n.expand(self.hyper.experts, -1)


def _together(u: Tensor, targets: Tensor, weight: float) -> Tensor:
    """sum_e CE(u_e, y) + weight D(u) for ``(B, E, C)``.

    sum_ij KL(p_j || p_i) = E sum_j p_j . log p_j - (sum_j p_j) . (sum_i log p_i).
    """
    experts = u.shape[1]
    log_p = u.log_softmax(dim=2)
    p = log_p.exp()
    own = F.nll_loss(log_p.flatten(0, 1), targets.repeat_interleave(experts)) * experts
    apart = experts * (p * log_p).sum(dim=1) - p.sum(dim=1) * log_p.sum(dim=1)
    return own + weight * apart.sum(dim=1).mean() / (experts - 1)
