"""No adaptation: the method's own prediction."""

from __future__ import annotations

from typing import ClassVar

import torch

from ltbench.method import NoHyper
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


class NoAdaptation(Strategy[NoHyper]):
    """Calls ``method.predict`` and nothing else."""

    name: ClassVar = "none"
    title: ClassVar = "no adaptation"

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        predict = source.method.predict
        return Adapted(logits=predict(test.logits), frozen=predict)
