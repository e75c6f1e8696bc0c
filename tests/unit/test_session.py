"""The accumulating session: when it adapts, on what, and what it predicts with."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from ltbench import get_method
from ltbench.errors import ContractError
from ltbench.method import NoHyper
from ltbench.session import Accumulating
from ltbench.strategy import Adapted, OptimizerSettings, Source, Strategy, UnlabelledTest

SOURCE = Source(get_method("ce", [5, 3, 2]), None, "none", OptimizerSettings(0.1, 0.9, True, 0.0))
LOGITS = torch.randn(60, 1, 3, generator=torch.Generator().manual_seed(0))


class Centring(Strategy[NoHyper]):
    """Subtracts the mean score of the images adapted on: the answer in closed form is known."""

    name: ClassVar = "centring"
    title: ClassVar = "centring"
    freezes: ClassVar = True

    def __init__(self) -> None:
        super().__init__(NoHyper())
        self.sizes: list[int] = []

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        self.sizes.append(len(test.logits))
        centre = test.logits.mean(dim=(0, 1))
        test.logits.zero_()  # a strategy that writes into its input must not harm later batches

        def predict(logits: torch.Tensor) -> torch.Tensor:
            return logits.mean(1) - centre

        return Adapted(predict(test.logits), frozen=predict if self.freezes else None)


def run(growth: float, sizes: list[int]) -> tuple[Centring, list[torch.Tensor]]:
    strategy = Centring()
    session = Accumulating(strategy, SOURCE, torch.Generator(), growth)
    parts = torch.split(LOGITS[: sum(sizes)], sizes)
    return strategy, [session.step(UnlabelledTest(part.clone())) for part in parts]


def test_adapts_on_everything_so_far_whenever_it_has_grown() -> None:
    strategy, _ = run(2.0, [1] * 60)
    assert strategy.sizes == [1, 2, 4, 8, 16, 32]
    strategy, _ = run(1.0, [7, 7, 7])
    assert strategy.sizes == [7, 14, 21]


def test_a_due_batch_is_adapted_on_before_it_is_predicted() -> None:
    _, found = run(1.0, [7, 7, 7])
    expected = LOGITS[14:21].mean(1) - LOGITS[:21].mean(dim=(0, 1))
    torch.testing.assert_close(found[2], expected)


def test_between_adaptations_the_newest_predictor_serves() -> None:
    _, found = run(3.0, [4, 4, 4, 4])  # adapts at 4 and at 12
    torch.testing.assert_close(found[1], LOGITS[4:8].mean(1) - LOGITS[:4].mean(dim=(0, 1)))
    torch.testing.assert_close(found[3], LOGITS[12:16].mean(1) - LOGITS[:12].mean(dim=(0, 1)))


def test_a_strategy_that_freezes_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Centring, "freezes", False)
    with pytest.raises(ContractError, match="'centring' freezes no predictor"):
        run(1.1, [4])
