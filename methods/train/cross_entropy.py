"""Cross-entropy: the baseline every long-tailed method is compared with."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.method import Method, Reference
from ltbench.reweighting import (
    DeferredHyper,
    bias_under_weights,
    deferred_of,
    effective_weights,
)


class CrossEntropy(Method[DeferredHyper]):
    """L = -log softmax(z)_y. The logits carry the training prior: bias 0.

    From ``reweight_from`` on L = sum_i w_y CE(z_i, y_i) / sum_i w_y, w_j = (1-beta)/(1-beta^n_j) scaled
    to sum C (DRW, Cao et al. 2019): bias -log w if all through, no closed form if only at the end.
    """

    name: ClassVar = "ce"
    title: ClassVar = "Cross-entropy (softmax)"
    hyper_type: ClassVar = DeferredHyper
    reference: ClassVar = Reference(
        authors="He, Zhang, Ren, Sun",
        title="Deep residual learning for image recognition",
        venue="CVPR",
        year=2016,
        url="https://arxiv.org/abs/1512.03385",
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
        settings_source="config/CIFAR100_LT/ce.yaml of hyperconnect/LADE",
    )

    def __init__(self, counts: Tensor, hyper: DeferredHyper) -> None:
        super().__init__(counts, hyper)
        self._shift = torch.zeros(len(counts), device=counts.device)
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
        return F.cross_entropy(logits[:, 0], targets, weight=weights)

    def bias(self) -> Tensor | None:
        return bias_under_weights(self._shift, self._weights, self._deferred.reweight_from)

    def reference_bias(self) -> Tensor | None:
        """That of weights all through training, where they act at the end only."""
        return (self._shift - self._weights.log())[None] if self.bias() is None else None
