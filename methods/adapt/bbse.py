"""BBSE: the prior that explains how often a fixed classifier says each class."""

from __future__ import annotations

from typing import ClassVar

import torch

from ltbench.labelshift.confusion import ClassifierHyper, moments, predict_weighted, solve
from ltbench.method import Reference
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


class Bbse(Strategy[ClassifierHyper]):
    """w = C^{-1} mu, q = max(w, 0) pi normalised; argmax l - log pi + log q.

    C_kj = P_train(said k, is j) on the hold-out, weighted to stand for the training distribution;
    mu_k = share of test images of which the classifier says k. Where C is singular (a class that is
    never said, or has no hold-out image), the solution nearest to w = 1.
    """

    name: ClassVar = "bbse"
    title: ClassVar = "black-box shift estimation"
    needs: ClassVar = frozenset({"bias", "holdout"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = ClassifierHyper
    reference: ClassVar = Reference(
        authors="Lipton, Wang, Smola",
        title="Detecting and correcting for label shift with black box predictors",
        venue="ICML",
        year=2018,
        url="https://arxiv.org/abs/1802.03916",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        weights, rank = solve(moments(test, source, self.hyper))
        return predict_weighted(weights, test, source, rank)
