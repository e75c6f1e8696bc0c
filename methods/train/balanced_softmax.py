"""Balanced softmax: cross-entropy on logits shifted by the log training prior."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Method, Reference, log_prior
from ltbench.reweighting import (
    DeferredHyper,
    bias_under_weights,
    deferred_of,
    effective_weights,
)


class BalancedSoftmax(Method[DeferredHyper]):
    """L = -log softmax(z + log pi)_y. The logits are those of a uniform prior: bias log pi.

    From ``reweight_from`` on weighted as cross-entropy is there (DRW): bias log pi - log w if all
    through, no closed form if only at the end.
    """

    name: ClassVar = "balanced-softmax"
    title: ClassVar = "Balanced softmax"
    hyper_type: ClassVar = DeferredHyper
    reference: ClassVar = Reference(
        authors="Ren, Yu, Sheng, Ma, Zhao, Yi, Li",
        title="Balanced meta-softmax for long-tailed visual recognition",
        venue="NeurIPS",
        year=2020,
        url="https://arxiv.org/abs/2007.10740",
        settings={
            "recipe.epochs": 200,
            "recipe.batch_size": 256,
            "recipe.lr": 0.2,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.01,
            "recipe.rotation": 0.0,
        },
        settings_source="config/CIFAR100_LT/balanced_softmax.yaml of hyperconnect/LADE",
    )

    def __init__(self, counts: Tensor, hyper: DeferredHyper) -> None:
        super().__init__(counts, hyper)
        self._shift = log_prior(counts)
        self._deferred = deferred_of(hyper)
        self._weights = effective_weights(counts, self._deferred.beta)
        # Weights are divided by their sum over the batch.
        self.mean_over_images = self._deferred.reweight_from >= 1

    def loss_stage(self, progress: float) -> bool:
        return progress >= self._deferred.reweight_from  # whether re-weighting has begun

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        weights = self._weights if self.loss_stage(progress) else None
        return F.cross_entropy(logits[:, 0] + self._shift, targets, weight=weights)

    def bias(self) -> Tensor | None:
        return bias_under_weights(self._shift, self._weights, self._deferred.reweight_from)

    def reference_bias(self) -> Tensor | None:
        """That of weights all through training, where they act at the end only."""
        return (self._shift - self._weights.log())[None] if self.bias() is None else None
