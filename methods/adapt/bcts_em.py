"""EM on posteriors that were calibrated on a labelled hold-out (BCTS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.labelshift.calibration import fit_bcts
from ltbench.labelshift.em import em
from ltbench.labelshift.holdout import known_holdout
from ltbench.labelshift.posterior import corrected_mean, known_bias, likelihoods
from ltbench.method import Reference
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class BctsEmHyper(Hyper):
    map: float = setting(
        2.0,
        low=1,
        help="concentration of the Dirichlet prior on q, the same for every class; 1: none",
    )
    iterations: int = setting(1000, low=1, help="iterations at most")
    penalty: float = setting(1e-3, low=0, help="weight of the squared class biases in their fit")


class BctsEm(Strategy[BctsEmHyper]):
    """EM on p = softmax(l / T + beta), l = mean_e(z_e + b_e); T and beta fitted on the hold-out.

    The source prior s is the mean of p over the hold-out, so that EM finds no shift there. Hold-out
    images are weighted to stand for the training distribution. Then argmax log p - log s + log q.
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
        held, bias = known_holdout(source), known_bias(source)
        inside = corrected_mean(held.logits, bias)
        calibrate = fit_bcts(inside, held.labels, held.weights, self.hyper.penalty)
        posterior = calibrate(inside).exp()
        prior = (held.weights[:, None] * posterior).mean(dim=0)

        def evidence(logits: Tensor) -> Tensor:
            return calibrate(corrected_mean(logits, bias)) - prior.log()

        u = likelihoods(evidence(test.logits))
        found = em(u, prior, self.hyper.map - 1, iterations=self.hyper.iterations)

        def predict(logits: Tensor) -> Tensor:
            return evidence(logits) + found.prior.log()

        temperature = 1 / calibrate.inverse_temperature
        return Adapted(
            logits=predict(test.logits),
            frozen=predict,
            prior=found.prior,
            diagnostics={
                **found.to_json(),
                "temperature": temperature,
                "calibrated": calibrate.converged,
            },
        )
