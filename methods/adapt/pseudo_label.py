"""Expert weights fitted to their own predictions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.labelshift.expert_weights import WeightsHyper, adapt_weights
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


class PseudoLabel(Strategy[WeightsHyper]):
    """Minimises CE(sum_e w_e z_e, argmax of the same) over w = softmax(a), in the loop of ``stability``.

    The pseudo-labels (Lee, 2013) are those of the current weights, batch by batch. A comparison, as in SADE's
    ablation: like ``entropy`` it favours the most confident expert, right or wrong.
    """

    name: ClassVar = "pseudo-label"
    title: ClassVar = "pseudo-labels"
    min_experts: ClassVar = 2
    uses_predict: ClassVar = False
    hyper_type: ClassVar = WeightsHyper

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        return adapt_weights(test, self_training, self.hyper, source.optimizer, rng)


def self_training(scores: Tensor) -> Tensor:
    """Mean cross-entropy to the scores' own argmax, nats: ``(B, C)`` to ``()``."""
    return F.cross_entropy(scores, scores.detach().argmax(dim=1))
