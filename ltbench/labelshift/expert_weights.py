"""Expert weights learned on unlabelled images, by the training loop of SADE's test time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.sgd import sgd

from ltbench.hyper import Hyper, Json
from ltbench.maps import release
from ltbench.pieces import by_pieces
from ltbench.progress import tell
from ltbench.settings import setting
from ltbench.strategy import Adapted, OptimizerSettings, UnlabelledTest

Objective = Callable[[Tensor], Tensor]
"""Weighted logits ``(B, C)`` of a batch to the loss ``()`` that is minimised."""


class BatchLoss(Protocol):
    """Expert weights ``(E,)`` and indices ``(B,)`` of a batch to the loss ``()`` that is minimised."""

    def __call__(self, weights: Tensor, batch: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class WeightsHyper(Hyper):
    epochs: int = setting(5, low=1, help="passes over the test images at most")
    batch_size: int = setting(128, low=1, help="images a step; the last, smaller batch is kept")
    min_weight: float = setting(0.05, low=0, high=1, help="stops after an epoch that falls below")


def adapt_weights(
    test: UnlabelledTest,
    objective: Objective,
    hyper: WeightsHyper,
    settings: OptimizerSettings,
    rng: torch.Generator,
) -> Adapted:
    """Minimises ``objective`` of sum_e w_e z_e over w = softmax(a), a in R^E from 1/E each.

    Batches, optimiser and stop rule are those of ``stability``, so that rows differ in the objective
    alone; only its two augmented views are replaced by the image itself.
    """

    def loss(weights: Tensor, batch: Tensor) -> Tensor:
        return objective(weigh(weights, test.logits[batch]))

    return learn_weights(test, lambda epoch: loss, hyper, settings, rng)


class Aggregation:
    """w = softmax(a), a in R^E from 1/E each, and the SGD that moves a.

    The steps are those of :class:`torch.optim.SGD` by the function behind it: making an optimiser
    imports torch's compiler, which takes longer than a strategy takes for all its steps.
    """

    def __init__(self, experts: int, settings: OptimizerSettings, device: torch.device) -> None:
        self.scores = torch.full((experts,), 1 / experts, device=device, requires_grad=True)
        self._settings = settings
        self._momentum: list[Tensor | None] = [None]

    def update(self, loss: Callable[[Tensor], Tensor]) -> None:
        """One step on ``loss`` of the weights ``(E,)``."""
        value = loss(F.softmax(self.scores, dim=0))
        (gradient,) = torch.autograd.grad(value, self.scores)
        with torch.no_grad():
            sgd(
                [self.scores],
                [gradient],
                self._momentum,
                foreach=False,
                lr=self._settings.lr,
                momentum=self._settings.momentum,
                nesterov=self._settings.nesterov,
                weight_decay=self._settings.weight_decay,
                dampening=0.0,
                maximize=False,
            )

    @property
    def weights(self) -> Tensor:
        return F.softmax(self.scores.detach(), dim=0)


def learn_weights(
    test: UnlabelledTest,
    loss_of_epoch: Callable[[int], BatchLoss],
    hyper: WeightsHyper,
    settings: OptimizerSettings,
    rng: torch.Generator,
) -> Adapted:
    """Epochs of shuffled batches under the published stop rule; ``loss_of_epoch`` is asked once each."""
    size, experts, _ = test.logits.shape
    aggregation = Aggregation(experts, settings, test.logits.device)
    history: list[Json] = []
    for epoch in range(hyper.epochs):
        loss = loss_of_epoch(epoch)
        order = torch.randperm(size, generator=rng).to(test.logits.device)
        batches = torch.split(order, hyper.batch_size)
        for number, batch in enumerate(batches, start=epoch * len(batches)):
            tell("expert weights", number, hyper.epochs * len(batches))
            aggregation.update(partial(loss, batch=batch))
            release()  # an image is met once an epoch
        weights = aggregation.weights
        history.append(weights.tolist())
        if min(round(weight, 2) for weight in weights.tolist()) < hyper.min_weight:
            break

    def predict(logits: Tensor) -> Tensor:
        return by_pieces(lambda piece: weigh(weights, piece), logits)

    return Adapted(
        logits=predict(test.logits),
        frozen=predict,
        expert_weights=weights,
        diagnostics={"epochs": len(history), "weights_by_epoch": history},
    )


def weigh(weights: Tensor, logits: Tensor) -> Tensor:
    """sum_e w_e z_e: ``(E,)`` and ``(N, E, C)`` to ``(N, C)``."""
    return torch.einsum("e,nec->nc", weights, logits)
