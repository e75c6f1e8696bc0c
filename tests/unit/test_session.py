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


class Declared(Strategy[NoHyper]):
    """Looks at everything that it declares, and keeps what it saw."""

    name: ClassVar = "declared"
    title: ClassVar = "declared"
    needs: ClassVar = frozenset({"views", "true_prior", "network"})

    def __init__(self) -> None:
        super().__init__(NoHyper())
        self.views: list[torch.Tensor] = []
        self.images: list[torch.Tensor] = []
        self.weights: list[float] = []

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        assert test.pairs == 2
        self.views.append(test.views(1))
        self.images.append(test.images)
        test.true_prior.zero_()
        assert isinstance(source.network, torch.nn.Linear)
        self.weights.append(source.network.bias[0].item())
        with torch.no_grad():
            source.network.bias += 1  # adaptation may change its private copy

        def predict(logits: torch.Tensor) -> torch.Tensor:
            return logits.mean(1)

        return Adapted(predict(test.logits), frozen=predict)


def test_what_is_declared_is_there_for_all_images_so_far() -> None:
    views = torch.randn(2, 2, 60, 1, 3, generator=torch.Generator().manual_seed(1))
    images = torch.arange(60, dtype=torch.uint8)[:, None]
    prior = torch.tensor([0.5, 0.3, 0.2])
    network = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(network.bias)
    source = Source(SOURCE.method, None, "none", SOURCE.optimizer, network=network)
    strategy = Declared()
    session = Accumulating(strategy, source, torch.Generator(), growth=1.0)
    for part in (slice(0, 7), slice(7, 14), slice(14, 15)):
        batch = UnlabelledTest(
            LOGITS[part].clone(),
            views=lambda k, part=part: views[k][:, part],  # type: ignore[misc]
            pairs=2,
            true_prior=prior.clone(),
            images=lambda part=part: images[part],  # type: ignore[misc]
        )
        session.step(batch)
    for seen, looked, shown in zip((7, 14, 15), strategy.views, strategy.images, strict=True):
        assert torch.equal(looked, views[1][:, :seen])
        assert torch.equal(shown, images[:seen])
    assert strategy.weights == [0.0, 0.0, 0.0]  # each adaptation starts from the trained network


def test_what_is_not_declared_stays_refused() -> None:
    class Peeks(Centring):
        def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
            test.views(0)
            return super().adapt(test, source, rng)

    session = Accumulating(Peeks(), SOURCE, torch.Generator())
    with pytest.raises(ContractError, match="without declaring 'views' in needs"):
        session.step(UnlabelledTest(LOGITS[:4], views=lambda k: torch.zeros(2, 4, 1, 3), pairs=1))
