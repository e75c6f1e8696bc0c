"""Expert weights learned on unlabelled images, by the training loop of SADE's test time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper, Json
from ltbench.settings import setting
from ltbench.strategy import Adapted, OptimizerSettings, UnlabelledTest

Objective = Callable[[Tensor], Tensor]
"""Weighted logits ``(B, C)`` of a batch to the loss ``()`` that is minimised."""


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
    size, experts, _ = test.logits.shape
    scores = torch.full((experts,), 1 / experts, device=test.logits.device, requires_grad=True)
    optimizer = torch.optim.SGD(
        [scores],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
    history: list[Json] = []
    weights = F.softmax(scores.detach(), dim=0)
    for _ in range(hyper.epochs):
        order = torch.randperm(size, generator=rng).to(test.logits.device)
        for batch in torch.split(order, hyper.batch_size):
            optimizer.zero_grad()
            weighted = weigh(F.softmax(scores, dim=0), test.logits[batch])
            objective(weighted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        weights = F.softmax(scores.detach(), dim=0)
        history.append(weights.tolist())
        if min(round(weight, 2) for weight in weights.tolist()) < hyper.min_weight:
            break

    def predict(logits: Tensor) -> Tensor:
        return weigh(weights, logits)

    return Adapted(
        logits=predict(test.logits),
        frozen=predict,
        expert_weights=weights,
        diagnostics={"epochs": len(history), "weights_by_epoch": history},
    )


def weigh(weights: Tensor, logits: Tensor) -> Tensor:
    """sum_e w_e z_e: ``(E,)`` and ``(N, E, C)`` to ``(N, C)``."""
    return torch.einsum("e,nec->nc", weights, logits)
