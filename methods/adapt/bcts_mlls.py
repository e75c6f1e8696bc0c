"""BCTS and maximum likelihood, as published: no penalty on the biases, no prior on the prior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Json
from ltbench.labelshift.calibrated_em import adapt_calibrated
from ltbench.labelshift.calibration import Calibration, fit_bcts
from ltbench.labelshift.holdout import Holdout
from ltbench.labelshift.posterior import ExpertsHyper
from ltbench.method import Reference
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class BctsMllsHyper(ExpertsHyper):
    iterations: int = setting(1000, low=1, help="iterations at most")


class BctsMlls(Strategy[BctsMllsHyper]):
    """argmax log p - log s + log q, q = argmax sum_i log sum_j p_ij q_j / s_j.

    p = softmax(l / T + beta), l = mean_e(z_e + b_e); T and beta by maximum likelihood on the hold-out,
    whose images are weighted to stand for the training distribution; s is the mean of p over it. A
    class without a hold-out image keeps beta = 0 and is named in the diagnostics. ``bcts-em`` is the
    same with a penalty on beta and a Dirichlet prior on q.
    """

    name: ClassVar = "bcts-mlls"
    title: ClassVar = "calibrated maximum-likelihood prior"
    needs: ClassVar = frozenset({"bias", "holdout"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = BctsMllsHyper
    tried_with: ClassVar = {"iterations": 20}
    reference: ClassVar = Reference(
        authors="Alexandari, Kundaje, Shrikumar",
        title="Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation",
        venue="ICML",
        year=2020,
        url="https://arxiv.org/abs/1901.06852",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        adapted, held = adapt_calibrated(
            test,
            source,
            _fit,
            pseudo=0.0,
            iterations=self.hyper.iterations,
            combine=self.hyper.combine,
        )
        seen = torch.bincount(held.labels, minlength=len(source.method.counts))
        absent: list[Json] = [*(seen == 0).nonzero()[:, 0].tolist()]
        return replace(adapted, diagnostics={**adapted.diagnostics, "without_holdout": absent})


def _fit(scores: Tensor, held: Holdout) -> Calibration:
    return fit_bcts(scores, held.labels, held.weights, 0.0, only_present=True)
