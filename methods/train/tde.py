"""TDE: a causal classifier that takes the mean direction of training out of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.errors import InputError
from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Reference, Seen, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class TdeHyper(Hyper):
    alpha: float = setting(1.5, low=0, help="how much of the mean direction is taken out")
    scale: float = setting(16.0, above=0, help="tau, scale of the logits")
    pieces: int = setting(2, low=1, help="K, pieces into which a feature is cut")
    gamma: float = setting(0.03125, low=0, help="added to the norms of the weights")
    keep: float = setting(0.9, low=0, high=1, help="of the running sum of features, each step")


class CausalHead(nn.Module):
    """z = s/K sum_k (f_k/|f_k| - [alpha cos(f_k, c_k) c_k]) . w_k/(|w_k| + gamma), [.] not in training.

    f_k, w_k: the K pieces of the feature and of a class's weights; c_k: the direction of ``mean``.
    forward: ``(B, D)`` to ``(B, C)``. Source: Tang et al. 2020, eq. 7 and 13.
    """

    mean: Tensor

    def __init__(self, features: int, classes: int, hyper: TdeHyper) -> None:
        super().__init__()
        bound = features**-0.5
        self.weight = nn.Parameter(torch.empty(classes, features).uniform_(-bound, bound))
        self.register_buffer("mean", torch.zeros(features))
        self.hyper = hyper

    def forward(self, features: Tensor) -> Tensor:
        f, w = self._cut(features), self._cut(self.weight)
        f = F.normalize(f, dim=2)
        if not self.training:
            c = F.normalize(self._cut(self.mean[None]), dim=2)
            f = f - self.hyper.alpha * (f * c).sum(dim=2, keepdim=True) * c
        w = w / (w.norm(dim=2, keepdim=True) + self.hyper.gamma)
        cosines: Tensor = (f @ w.transpose(1, 2)).sum(dim=0)
        return self.hyper.scale / self.hyper.pieces * cosines

    def _cut(self, rows: Tensor) -> Tensor:
        """``(R, D)`` to ``(K, R, D / K)``."""
        return rows.reshape(len(rows), self.hyper.pieces, -1).transpose(0, 1)


class Tde(Method[TdeHyper]):
    """L = -log softmax(z)_y, z of :class:`CausalHead`; its mean m <- keep m + mean_i f_i after each step.

    Only the direction of m counts, so that the sum needs no factor, as published. Training has the
    training prior; what the subtraction leaves has no closed form. Reference bias log pi: taken for
    uniform, as LADE's authors do. alpha acts at test time alone, yet the stored logits have it: another
    alpha is another trial.
    """

    name: ClassVar = "tde"
    title: ClassVar = "Causal classifier with TDE"
    hyper_type: ClassVar = TdeHyper
    reference: ClassVar = Reference(
        authors="Tang, Huang, Zhang",
        title="Long-tailed classification by keeping the good and removing the bad momentum causal effect",
        venue="NeurIPS",
        year=2020,
        url="https://arxiv.org/abs/2009.12991",
        settings={
            "alpha": 1.5,
            "scale": 16.0,
            "pieces": 2,
            "gamma": 0.03125,
            "keep": 0.9,
            "recipe.epochs": 200,
            "recipe.batch_size": 256,
            "recipe.lr": 0.2,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
        },
        settings_source="classification/config/CIFAR100_LT/causal_norm_32.yaml of "
        "KaihuaTang/Long-Tailed-Recognition.pytorch",
    )

    def build(self, network: Network) -> None:
        width = network.feature_width
        if width % self.hyper.pieces:
            raise InputError(
                f"tde: pieces = {self.hyper.pieces} must divide the {width} features of the network"
            )
        network.set_head(0, CausalHead(width, len(self.counts), self.hyper))

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
        return F.cross_entropy(logits[:, 0], targets)

    def after_step(self, network: Network, seen: Seen) -> None:
        for head in network.heads():
            assert isinstance(head, CausalHead)
            head.mean.mul_(self.hyper.keep).add_(seen.features[0, :, 0].mean(dim=0))

    def reference_bias(self) -> Tensor:
        return log_prior(self.counts)[None]
