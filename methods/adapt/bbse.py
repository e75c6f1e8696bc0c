"""BBSE: the prior that explains how often a fixed classifier says each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from ltbench.labelshift.confusion import (
    ClassifierHyper,
    moments,
    on_simplex,
    predict_weighted,
    solve,
)
from ltbench.labelshift.temperature import tempered
from ltbench.method import Reference, log_prior
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class BbseHyper(ClassifierHyper):
    solver: str = setting(
        "direct",
        choices=("direct", "constrained"),
        later=True,
        help="inverts the table, or fits a label distribution by least squares",
    )


class Bbse(Strategy[BbseHyper]):
    """w = C^{-1} mu, q = max(w, 0) pi normalised; argmax l - log pi + log q.

    C_kj = P_train(said k, is j) on the hold-out, weighted to stand for the training distribution;
    mu_k = share of test images of which the classifier says k. Where C is singular (a class that is
    never said, or has no hold-out image), the solution nearest to w = 1. ``solver=constrained``:
    q = argmin |A q - mu| over label distributions, A_kj = P(said k | is j). ``temperature=holdout``:
    l / T in the place of l, in the counted classifier and in the decision, T fitted on the hold-out.
    """

    name: ClassVar = "bbse"
    title: ClassVar = "black-box shift estimation"
    needs: ClassVar = frozenset({"bias", "holdout"})
    max_classes: ClassVar = 2000
    uses_predict: ClassVar = False
    hyper_type: ClassVar = BbseHyper
    reference: ClassVar = Reference(
        authors="Lipton, Wang, Smola",
        title="Detecting and correcting for label shift with black box predictors",
        venue="ICML",
        year=2018,
        url="https://arxiv.org/abs/1802.03916",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        posterior, facts = tempered(source, self.hyper)
        found = moments(test, source, posterior, self.hyper)
        if self.hyper.solver == "constrained":
            prior = log_prior(source.method.counts).double().exp()
            weights = on_simplex(found, (prior / prior.sum()).numpy())
            rank = int(np.linalg.matrix_rank(found.table))
        else:
            weights, rank = solve(found)
        return predict_weighted(weights, test, source, posterior, {"rank": rank, **facts})
