"""SADE's test-time self-supervised aggregation: expert weights by prediction stability."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.labelshift.expert_weights import (
    Aggregation,
    BatchLoss,
    WeightsHyper,
    learn_weights,
    weigh,
)
from ltbench.method import Reference
from ltbench.strategy import (
    Adapted,
    Session,
    Source,
    Strategy,
    UnlabelledTest,
)


class Stability(Strategy[WeightsHyper]):
    """Maximises mean_i cos(softmax(sum_e w_e z_e(view 1)), softmax(sum_e w_e z_e(view 2))).

    w = softmax(a), a in R^E from 1/E each, by SGD with the optimiser of the method's recipe. Epoch k
    uses the k-th stored pair of views. Stops after an epoch in which a weight, rounded to two
    decimals, is below ``min_weight``; those weights are used, as published. The network is fixed,
    hence stored logits give the same steps as running it again. Source: SADE, section 4.2 and
    ``test_training_cifar.py``.
    """

    name: ClassVar = "stability"
    title: ClassVar = "prediction stability"
    needs: ClassVar = frozenset({"views"})
    min_experts: ClassVar = 2
    uses_predict: ClassVar = False
    hyper_type: ClassVar = WeightsHyper
    reference: ClassVar = Reference(
        authors="Zhang, Hooi, Hong, Feng",
        title="Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition",
        venue="NeurIPS",
        year=2022,
        url="https://arxiv.org/abs/2107.09249",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        def loss_of_epoch(epoch: int) -> BatchLoss:
            first, second = test.views(epoch % test.pairs)

            def loss(weights: Tensor, batch: Tensor) -> Tensor:
                return -agreement(weights, first[batch].float(), second[batch].float())

            return loss

        return learn_weights(test, loss_of_epoch, self.hyper, source.optimizer, rng)

    def session(self, source: Source, rng: torch.Generator) -> Session:
        return StabilitySession(source)


class StabilitySession(Session):
    """The published streaming variant: one pass, one step on two views of a batch, then its prediction.

    Weights and optimiser persist from batch to batch; there is no stop rule. Published with batches
    of 64. Source: SADE, ``test_training_imagenet_online.py``.
    """

    predicts: ClassVar = "after"

    def __init__(self, source: Source) -> None:
        self.optimizer = source.optimizer
        self.aggregation: Aggregation | None = None

    def step(self, batch: UnlabelledTest) -> Tensor:
        if self.aggregation is None:
            experts = batch.logits.shape[1]
            self.aggregation = Aggregation(experts, self.optimizer, batch.logits.device)
        pair = batch.views(0)
        self.aggregation.update(
            lambda weights: -agreement(weights, pair[0].float(), pair[1].float())
        )
        return weigh(self.aggregation.weights, batch.logits)


def agreement(weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine similarity of the weighted predictions on two views, ``(N, E, C)`` each."""
    one = F.softmax(weigh(weights, first), dim=1)
    two = F.softmax(weigh(weights, second), dim=1)
    return F.cosine_similarity(one, two, dim=1).mean()
