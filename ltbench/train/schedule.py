"""The learning rate over epochs, in fractions of the budget."""

from __future__ import annotations

import math

from ltbench.method import Phase
from ltbench.protocol.protocol import Recipe

SHORT_BUDGET = 10
"""Below this many epochs warm-up and milestones fall on so few epochs that the recipe is another."""


def warmup_epochs(recipe: Recipe, epochs: int) -> int:
    """max(1, min(w, epochs // 8)), or 0 where the recipe has no warm-up."""
    if recipe.warmup_epochs == 0:
        return 0
    return max(1, min(recipe.warmup_epochs, epochs // 8))


def learning_rate(recipe: Recipe, epoch: int, epochs: int) -> float:
    """The learning rate of the 0-based ``epoch``.

    Rises as (epoch + 1) / w over the warm-up, then lr * gamma^k after k milestones, a milestone m
    being reached when epoch / epochs >= m. At 200 epochs this is SADE's schedule: warm-up over 5,
    times 0.1 from index 160 and from 180 on. With ``recipe.schedule = "cosine"`` the warm-up is
    followed by lr (1 + cos(pi epoch / epochs)) / 2.
    """
    warmup = warmup_epochs(recipe, epochs)
    if epoch < warmup:
        return recipe.lr * (epoch + 1) / warmup
    if recipe.schedule == "cosine":
        return recipe.lr * _cosine(epoch, epochs)
    passed = sum(epoch / epochs >= milestone for milestone in recipe.milestones)
    return recipe.lr * recipe.gamma**passed


def phase_rate(recipe: Recipe, phase: Phase, epoch: int, epochs: int) -> float:
    """The learning rate of the 0-based ``epoch`` of a phase of ``epochs``: its schedule, times ``phase.lr``.

    ``cosine``: lr (1 + cos(pi epoch / epochs)) / 2; ``constant``: lr.
    """
    if phase.schedule == "recipe":
        return phase.lr * learning_rate(recipe, epoch, epochs)
    falling = phase.schedule == "cosine"
    return phase.lr * recipe.lr * (_cosine(epoch, epochs) if falling else 1)


def _cosine(epoch: int, epochs: int) -> float:
    """From 1 at the first epoch towards 0 after the last."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def warnings(recipe: Recipe) -> list[str]:
    if recipe.epochs < SHORT_BUDGET:
        return [
            f"{recipe.epochs} epochs distort the recipe: warm-up and milestones fall on single epochs"
        ]
    return []
