"""No adaptation: the method's own prediction."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ltbench.method import Method, NoHyper
from ltbench.pieces import by_pieces
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest


class NoAdaptation(Strategy[NoHyper]):
    """Calls ``method.predict`` and nothing else."""

    name: ClassVar = "none"
    title: ClassVar = "no adaptation"

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        predict = source.method.predict
        return Adapted(logits=by_pieces(predict, test.logits), frozen=predict)

    def session(self, source: Source, rng: torch.Generator) -> Session:
        return FixedSession(source.method)


class FixedSession(Session):
    predicts: ClassVar = "fixed"

    def __init__(self, method: Method[Any]) -> None:
        self.method = method

    def step(self, batch: UnlabelledTest) -> Tensor:
        return self.method.predict(batch.logits)
