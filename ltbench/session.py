"""A session for any strategy on stored logits: all images so far, adapted on again and again."""

from __future__ import annotations

import copy
from dataclasses import replace
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
    What the strategy declares in ``needs`` is there for all images so far: their views, their images,
    the true prior of the stream, and for every adaptation a network as training left it. The strategy
    must freeze a predictor:

        def session(self, source, rng):
            return Accumulating(self, source, rng)

    Nothing is forgotten: where the prior drifts, it estimates the mean prior so far.
    """

    predicts: ClassVar = "after"

    def __init__(
        self, strategy: Strategy[Any], source: Source, rng: torch.Generator, growth: float = 1.1
    ) -> None:
        self.strategy, self.source, self.rng, self.growth = strategy, source, rng, growth
        self.batches: list[UnlabelledTest] = []
        self.seen = self.adapted_on = 0
        self.adapted: Adapted | None = None

    def step(self, batch: UnlabelledTest) -> Tensor:
        self.batches.append(self._kept(batch))
        self.seen += len(batch.logits)
        if self.adapted is None or self.seen >= self.growth * self.adapted_on:
            self.adapted = self.strategy.adapt(self._so_far(), self._fresh_source(), self.rng)
            self.adapted_on = self.seen
        if self.adapted.frozen is None:
            name = self.strategy.name
            raise ContractError(f"strategy {name!r} freezes no predictor; it cannot accumulate")
        return self.adapted.frozen(batch.logits)

    def _kept(self, batch: UnlabelledTest) -> UnlabelledTest:
        """The batch with logits of our own; views and images are looked up when they are asked for."""
        needs = self.strategy.all_needs
        return UnlabelledTest(
            batch.logits.clone(),
            views=batch.views if "views" in needs else None,
            pairs=batch.pairs,
            true_prior=batch.true_prior if "true_prior" in needs else None,
            images=(lambda: batch.images) if "network" in needs else None,
        )

    def _so_far(self) -> UnlabelledTest:
        import torch

        needs, batches = self.strategy.all_needs, self.batches
        last = batches[-1]
        return UnlabelledTest(
            torch.cat([batch.logits for batch in batches]),
            views=(lambda k: torch.cat([batch.views(k) for batch in batches], dim=1))
            if "views" in needs
            else None,
            pairs=last.pairs,
            true_prior=last.true_prior.clone() if "true_prior" in needs else None,
            images=(lambda: torch.cat([batch.images for batch in batches]))
            if "network" in needs
            else None,
        )

    def _fresh_source(self) -> Source:
        """Adaptation may change the network it is given; the next one starts from the trained one."""
        network = self.source.network
        if network is None:
            return self.source
        return replace(self.source, network=copy.deepcopy(network))
