"""Expert weights that make predictions confident."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.labelshift.expert_weights import WeightsHyper, adapt_weights
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


class EntropyMinimisation(Strategy[WeightsHyper]):
    """Minimises mean_i H(softmax(sum_e w_e z_e)) over w = softmax(a), in the loop of ``stability``.

    A comparison, as in SADE's ablation: it favours the most confident expert, right or wrong, so its
    weights are worth a look.
    """

    name: ClassVar = "entropy"
    title: ClassVar = "entropy minimisation"
    min_experts: ClassVar = 2
    uses_predict: ClassVar = False
    hyper_type: ClassVar = WeightsHyper

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        return adapt_weights(test, entropy, self.hyper, source.optimizer, rng)


def entropy(scores: Tensor) -> Tensor:
    """Mean entropy of softmax, nats: ``(B, C)`` to ``()``."""
    return -(F.softmax(scores, dim=1) * F.log_softmax(scores, dim=1)).sum(dim=1).mean()
