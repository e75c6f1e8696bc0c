"""Oracle on posteriors whose temperature was fitted on a labelled hold-out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ltbench.labelshift.posterior import (
    ExpertsHyper,
    LogPosterior,
    PriorScores,
    log_posterior,
    predict_at,
)
from ltbench.labelshift.temperature import on_holdout
from ltbench.method import log_prior
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest


class OracleCalibrated(Strategy[ExpertsHyper]):
    """argmax l / T - log pi + log q, q the realised label frequencies of the draw.

    l = mean_e(z_e + b_e); softmax(l / T) is the calibrated posterior under the training prior pi, T
    fitted on the hold-out, which is weighted to stand for the training distribution. At T = 1 it is
    ``oracle``, which overconfident posteriors leave below what the true prior allows. An upper
    reference, not a method: it knows what a user does not. Regret is measured against ``oracle``.
    """

    name: ClassVar = "oracle-calibrated"
    title: ClassVar = "true test prior, calibrated"
    needs: ClassVar = frozenset({"true_prior", "bias", "holdout"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = ExpertsHyper

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        posterior, facts = on_holdout(source, log_posterior(source, self.hyper))
        return predict_at(test.true_prior, test, source, posterior, facts)

    def session(self, source: Source, rng: torch.Generator) -> Session:
        return CalibratedSession(source, on_holdout(source, log_posterior(source, self.hyper))[0])


class CalibratedSession(Session):
    """Knows the frequencies of the whole stream, as that of ``oracle`` does."""

    predicts: ClassVar = "fixed"

    def __init__(self, source: Source, posterior: LogPosterior) -> None:
        self.source, self.posterior = source, posterior

    def step(self, batch: UnlabelledTest) -> Tensor:
        shift = batch.true_prior.log().float() - log_prior(self.source.method.counts)
        return PriorScores(self.posterior, shift)(batch.logits)
