"""CDT: temperatures of the logits that grow with rarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.settings import setting


@dataclass(frozen=True)
class CdtHyper(Hyper):
    gamma: float = setting(0.2, low=0, help="d_j = (n_j / n_max)^gamma; 0: cross-entropy")


class Cdt(Method[CdtHyper]):
    """L = -log softmax(d z)_y, d_j = (n_j / n_max)^gamma, the inverse temperatures; argmax z.

    No bias says which prior z carries: the posterior is softmax(d z) itself. It is the VS loss without
    its shift.
    """

    name: ClassVar = "cdt"
    title: ClassVar = "Class-dependent temperatures (CDT)"
    hyper_type: ClassVar = CdtHyper
    reference: ClassVar = Reference(
        authors="Ye, Chen, Zhan, Chao",
        title="Identifying and compensating for feature deviation in imbalanced deep learning",
        venue="arXiv",
        year=2020,
        url="https://arxiv.org/abs/2001.01385",
        settings={
            "gamma": 0.2,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
        },
        settings_source="configs/cao_cifar/re_weighting/cdt/cifar100_im100.yaml of "
        "zhangyongshun/BagofTricks-LT",
    )

    def __init__(self, counts: Tensor, hyper: CdtHyper) -> None:
        super().__init__(counts, hyper)
        self._scales = ((counts.double() / counts.max()) ** hyper.gamma).float()

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
        return self._scales * logits
