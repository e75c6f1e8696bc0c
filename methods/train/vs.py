"""VS loss: class-dependent temperatures and shifts of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class VsHyper(Hyper):
    gamma: float = setting(0.3, low=0, help="d_j = (n_j / n_max)^gamma; 0: logit adjustment")
    tau: float = setting(1.0, low=0, help="strength of the shift; 0: class-dependent temperatures")


class Vs(Method[VsHyper]):
    """L = -log softmax(d z + tau log pi)_y, d_j = (n_j / n_max)^gamma; argmax z.

    No bias says which prior z carries: the posterior is softmax(d z + tau log pi) itself. gamma = 0 is
    logit adjustment in the loss, tau = 0 the loss with class-dependent temperatures (CDT).
    """

    name: ClassVar = "vs"
    title: ClassVar = "VS loss (vector scaling)"
    hyper_type: ClassVar = VsHyper
    reference: ClassVar = Reference(
        authors="Kini, Paraskevas, Oymak, Thrampoulidis",
        title="Label-imbalanced and group-sensitive classification under overparameterization",
        venue="NeurIPS",
        year=2021,
        url="https://arxiv.org/abs/2103.01550",
        settings={
            "gamma": 0.3,
            "tau": 1.0,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
        },
        settings_source="defaults of class_imbalance/train.py of orparask/VS-Loss",
    )

    def __init__(self, counts: Tensor, hyper: VsHyper) -> None:
        super().__init__(counts, hyper)
        self._scales = ((counts.double() / counts.max()) ** hyper.gamma).float()
        self._shifts = hyper.tau * log_prior(counts)

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
        return F.cross_entropy(self.posterior(logits)[:, 0], targets)

    def posterior(self, logits: Tensor) -> Tensor:
        return self._scales * logits + self._shifts
