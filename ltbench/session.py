"""A session for any strategy on stored logits: all images so far, adapted on again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ltbench.errors import ContractError
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Accumulating(Session):
    """Adapts ``strategy`` on all images so far, whenever there are ``growth`` times as many as before.

    Every batch is predicted by the newest frozen predictor; where adapting again is due, the batch is
    adapted on before it is predicted. The first batch always is. A stream of n images costs about
    log(n) / log(growth) adaptations, together some growth / (growth - 1) times that on the whole set.
    For strategies that need neither views, images nor the true prior; they must freeze a predictor:

        def session(self, source, rng):
            return Accumulating(self, source, rng)

    Nothing is forgotten: where the prior drifts, it estimates the mean prior so far.
    """

    predicts: ClassVar = "after"

    def __init__(
        self, strategy: Strategy[Any], source: Source, rng: torch.Generator, growth: float = 1.1
    ) -> None:
        self.strategy, self.source, self.rng, self.growth = strategy, source, rng, growth
        self.batches: list[Tensor] = []
        self.seen = self.adapted_on = 0
        self.adapted: Adapted | None = None

    def step(self, batch: UnlabelledTest) -> Tensor:
        import torch

        self.batches.append(batch.logits.clone())
        self.seen += len(batch.logits)
        if self.adapted is None or self.seen >= self.growth * self.adapted_on:
            self.batches = [torch.cat(self.batches)]
            test = UnlabelledTest(self.batches[0].clone())
            self.adapted = self.strategy.adapt(test, self.source, self.rng)
            self.adapted_on = self.seen
        if self.adapted.frozen is None:
            name = self.strategy.name
            raise ContractError(f"strategy {name!r} freezes no predictor; it cannot accumulate")
        return self.adapted.frozen(batch.logits)
