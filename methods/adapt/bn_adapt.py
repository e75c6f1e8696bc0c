"""BN-adapt: BatchNorm normalises with the statistics of the test batch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.models.adaptation import adapt_in_two_orders, use_batch_statistics
from ltbench.settings import setting
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class BnAdaptHyper(Hyper):
    batch_size: int = setting(200, low=1, help="images normalised together at most")


class BnSession(Session):
    """Predicts each batch under its own statistics; nothing is carried from one to the next."""

    predicts: ClassVar = "after"  # the statistics are those of the whole batch

    def __init__(self, network: nn.Module, method: Method[Hyper]) -> None:
        self.network, self.method = copy.deepcopy(network), method
        use_batch_statistics(self.network)

    def step(self, batch: UnlabelledTest) -> Tensor:
        with torch.no_grad():
            return self.method.predict(self.network(batch.images))


class BnAdapt(Strategy[BnAdaptHyper]):
    """(x - mean_B(x)) / sqrt(var_B(x) + eps) in every BatchNorm, B the batch; no weight changes.

    Batches are drawn in a seeded random order and are of equal size up to one image. The label
    composition of a batch moves its statistics, so ``order_disagreement`` in the diagnostics is the
    share of images whose prediction differs under a second order. Predictions are the method's own
    ``predict`` on the new logits.
    """

    name: ClassVar = "bn-adapt"
    title: ClassVar = "test-batch BatchNorm statistics"
    needs: ClassVar = frozenset({"network"})
    hyper_type: ClassVar = BnAdaptHyper
    reference: ClassVar = Reference(
        authors="Schneider, Rusak, Eck, Bringmann, Brendel, Bethge",
        title="Improving robustness against common corruptions by covariate shift adaptation",
        venue="NeurIPS",
        year=2020,
        url="https://arxiv.org/abs/2006.16971",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        size = self.hyper.batch_size
        return adapt_in_two_orders(test, lambda: self._open(source), size, rng)

    def session(self, source: Source, rng: torch.Generator) -> Session | None:
        return None if source.network is None else self._open(source)

    def _open(self, source: Source) -> BnSession:
        assert source.network is not None  # 'network' is in needs
        return BnSession(source.network, source.method)
