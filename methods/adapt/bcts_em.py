"""EM on posteriors that were calibrated on a labelled hold-out (BCTS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.labelshift.calibrated_em import adapt_calibrated
from ltbench.labelshift.calibration import Calibration, fit_bcts, fit_temperature, fit_vector
from ltbench.labelshift.holdout import Holdout
from ltbench.labelshift.posterior import ExpertsHyper
from ltbench.method import Reference
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class BctsEmHyper(ExpertsHyper):
    map: float = setting(
        2.0,
        low=1,
        help="concentration of the Dirichlet prior on q, the same for every class; 1: none",
    )
    iterations: int = setting(1000, low=1, help="iterations at most")
    penalty: float = setting(1e-3, low=0, help="weight of the squared class biases in their fit")
    calibration: str = setting(
        "bcts",
        choices=("bcts", "temperature", "vector"),
        later=True,
        help="a temperature and class biases; a temperature; a temperature and a bias a class",
    )


class BctsEm(Strategy[BctsEmHyper]):
    """EM on p = softmax(l / T + beta), l = mean_e(z_e + b_e); T and beta fitted on the hold-out.

    The source prior s is the mean of p over the hold-out, so that EM finds no shift there. Hold-out
    images are weighted to stand for the training distribution. Then argmax log p - log s + log q. The
    biases are fitted under a penalty and q under a Dirichlet prior, which the paper has not: its
    method is ``bcts-mlls``. ``calibration``: ``temperature`` leaves beta out, ``vector`` has a T for
    each class as well, penalised towards 1.
    """

    name: ClassVar = "bcts-em"
    title: ClassVar = "calibrated EM prior"
    needs: ClassVar = frozenset({"bias", "holdout"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = BctsEmHyper
    reference: ClassVar = Reference(
        authors="Alexandari, Kundaje, Shrikumar",
        title="Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation",
        venue="ICML",
        year=2020,
        url="https://arxiv.org/abs/1901.06852",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        hyper = self.hyper
        adapted, _ = adapt_calibrated(
            test,
            source,
            self._fit,
            pseudo=hyper.map - 1,
            iterations=hyper.iterations,
            combine=hyper.combine,
        )
        return adapted

    def _fit(self, scores: Tensor, held: Holdout) -> Calibration:
        if self.hyper.calibration == "temperature":
            return fit_temperature(scores, held.labels, held.weights)
        fit = fit_vector if self.hyper.calibration == "vector" else fit_bcts
        return fit(scores, held.labels, held.weights, self.hyper.penalty)
