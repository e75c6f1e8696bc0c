"""The learning rate over the epochs, and how phases share them."""

from __future__ import annotations

from typing import Any

import pytest

from ltbench.protocol.protocol import Recipe
from ltbench.train.schedule import learning_rate, warmup_epochs, warnings


def recipe(epochs: int = 200, **changes: Any) -> Recipe:
    return Recipe(**{"epochs": epochs, "batch_size": 128, "lr": 0.1, **changes})


def sade(epoch: int) -> float:
    """CustomLR of SADE's configuration, 0-based, as METHODS.md section 1.0 states it."""
    if epoch < 5:
        return 0.1 * (1 + epoch) / 5
    return 0.1 * (0.1 if epoch >= 160 else 1) * (0.1 if epoch >= 180 else 1)


def test_200_epochs_are_the_published_schedule() -> None:
    for epoch in range(200):
        assert learning_rate(recipe(), epoch, 200) == pytest.approx(sade(epoch), rel=1e-12)


@pytest.mark.parametrize(
    ("epochs", "warmup"),
    [(200, 5), (40, 5), (39, 4), (30, 3), (16, 2), (15, 1), (8, 1), (1, 1)],
)
def test_warmup_is_an_eighth_of_a_short_budget(epochs: int, warmup: int) -> None:
    assert warmup_epochs(recipe(epochs), epochs) == warmup
    assert learning_rate(recipe(epochs), warmup - 1, epochs) == pytest.approx(0.1)


def test_no_warmup_where_the_recipe_has_none() -> None:
    plain = recipe(30, warmup_epochs=0)
    assert warmup_epochs(plain, 30) == 0
    assert learning_rate(plain, 0, 30) == 0.1


def test_30_epochs_drop_at_24_and_27() -> None:
    rates = [learning_rate(recipe(30), epoch, 30) for epoch in range(30)]
    assert rates[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    assert rates[3:24] == pytest.approx([0.1] * 21)
    assert rates[24:27] == pytest.approx([0.01] * 3)
    assert rates[27:] == pytest.approx([0.001] * 3)


@pytest.mark.parametrize("epochs", [5, 10, 20, 30, 40, 60, 100, 200, 400])
def test_milestones_fall_on_the_exact_epoch(epochs: int) -> None:
    """epoch / epochs is not exact in binary; 0.8 and 0.9 of a whole epoch must be all the same."""
    rates = [
        learning_rate(recipe(epochs, warmup_epochs=0), epoch, epochs) for epoch in range(epochs)
    ]
    first = next(i for i, rate in enumerate(rates) if rate < 0.05)
    second = next((i for i, rate in enumerate(rates) if rate < 0.005), epochs)
    assert first == -(-8 * epochs // 10)
    assert second == -(-9 * epochs // 10)


def test_every_milestone_counts_once() -> None:
    both = recipe(10, warmup_epochs=0, milestones=(0.5, 0.5), gamma=0.5)
    assert learning_rate(both, 4, 10) == 0.1
    assert learning_rate(both, 5, 10) == pytest.approx(0.025)
    assert learning_rate(recipe(10, warmup_epochs=0, milestones=()), 9, 10) == 0.1


def test_a_short_budget_is_warned_of() -> None:
    assert warnings(recipe(10)) == []
    (line,) = warnings(recipe(9))
    assert line.startswith("9 epochs distort the recipe")
