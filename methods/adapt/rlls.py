"""RLLS: BBSE with weights kept non-negative and near 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ltbench.labelshift.confusion import (
    ClassifierHyper,
    deviation,
    moments,
    predict_weighted,
    regularised,
)
from ltbench.labelshift.temperature import tempered
from ltbench.method import Reference
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class RllsHyper(ClassifierHyper):
    alpha: float = setting(0.01, low=0, help="strength of the regularisation")
    delta: float = setting(0.05, above=0, high=1, help="failure probability of its error bound")


class Rlls(Strategy[RllsHyper]):
    """w = 1 + argmin_{theta >= -1} |C theta - (mu - C 1)| + rho |theta|; argmax l - log pi + log q.

    C, mu and q = w pi are those of ``bbse``; rho = 3 alpha (2 log(2C/delta) / (3H) +
    sqrt(2 log(2C/delta) / H)), H hold-out images. ``temperature=holdout`` as in ``bbse``.
    """

    name: ClassVar = "rlls"
    title: ClassVar = "regularised shift estimation"
    needs: ClassVar = frozenset({"bias", "holdout"})
    max_classes: ClassVar = 2000
    uses_predict: ClassVar = False
    hyper_type: ClassVar = RllsHyper
    reference: ClassVar = Reference(
        authors="Azizzadenesheli, Liu, Yang, Anandkumar",
        title="Regularized learning for domain adaptation under label shifts",
        venue="ICLR",
        year=2019,
        url="https://arxiv.org/abs/1903.09734",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        posterior, facts = tempered(source, self.hyper)
        found = moments(test, source, posterior, self.hyper)
        rho = deviation(len(found.target), found.held, self.hyper.alpha, self.hyper.delta)
        rank = int(np.linalg.matrix_rank(found.table))
        weights = regularised(found, rho)
        return predict_weighted(weights, test, source, posterior, {"rank": rank, **facts})
