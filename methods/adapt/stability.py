"""SADE's test-time self-supervised aggregation: expert weights by prediction stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper, Json
from ltbench.method import Reference
from ltbench.settings import setting
from ltbench.strategy import (
    Adapted,
    OptimizerSettings,
    Session,
    Source,
    Strategy,
    UnlabelledTest,
)


@dataclass(frozen=True)
class StabilityHyper(Hyper):
    epochs: int = setting(5, low=1, help="passes over the test images at most")
    batch_size: int = setting(128, low=1, help="images a step; the last, smaller batch is kept")
    min_weight: float = setting(0.05, low=0, high=1, help="stops after an epoch that falls below")


class Stability(Strategy[StabilityHyper]):
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
    hyper_type: ClassVar = StabilityHyper
    reference: ClassVar = Reference(
        authors="Zhang, Hooi, Hong, Feng",
        title="Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition",
        venue="NeurIPS",
        year=2022,
        url="https://arxiv.org/abs/2107.09249",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        size, experts, _ = test.logits.shape
        aggregation = Aggregation(experts, source.optimizer, test.logits.device)
        history: list[Json] = []
        for epoch in range(self.hyper.epochs):
            pair = test.views(epoch % test.pairs)
            order = torch.randperm(size, generator=rng).to(test.logits.device)
            for batch in torch.split(order, self.hyper.batch_size):
                aggregation.update(pair[0, batch], pair[1, batch])
            weights = aggregation.weights
            history.append(weights.tolist())
            if min(round(weight, 2) for weight in weights.tolist()) < self.hyper.min_weight:
                break

        def predict(logits: Tensor) -> Tensor:
            return combine(weights, logits)

        return Adapted(
            logits=predict(test.logits),
            frozen=predict,
            expert_weights=weights,
            diagnostics={"epochs": len(history), "weights_by_epoch": history},
        )

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
        self.aggregation.update(pair[0], pair[1])
        return combine(self.aggregation.weights, batch.logits)


class Aggregation:
    """w = softmax(a), a in R^E from 1/E each, and the SGD that moves a."""

    def __init__(self, experts: int, sgd: OptimizerSettings, device: torch.device) -> None:
        self.scores = torch.full((experts,), 1 / experts, device=device, requires_grad=True)
        self.optimizer = torch.optim.SGD(
            [self.scores],
            lr=sgd.lr,
            momentum=sgd.momentum,
            nesterov=sgd.nesterov,
            weight_decay=sgd.weight_decay,
        )

    def update(self, first: Tensor, second: Tensor) -> None:
        """One step on two views of a batch, ``(B, E, C)`` each."""
        self.optimizer.zero_grad()
        weights = F.softmax(self.scores, dim=0)
        (-agreement(weights, first, second)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    @property
    def weights(self) -> Tensor:
        return F.softmax(self.scores.detach(), dim=0)


def combine(weights: Tensor, logits: Tensor) -> Tensor:
    """sum_e w_e z_e: ``(E,)`` and ``(N, E, C)`` to ``(N, C)``."""
    return torch.einsum("e,nec->nc", weights, logits)


def agreement(weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine similarity of the weighted predictions on two views, ``(N, E, C)`` each."""
    one = F.softmax(combine(weights, first), dim=1)
    two = F.softmax(combine(weights, second), dim=1)
    return F.cosine_similarity(one, two, dim=1).mean()
