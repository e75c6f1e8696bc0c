"""MLLS: the prior that makes the unlabelled test images most likely, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ltbench.labelshift.em import em
from ltbench.labelshift.posterior import predict_at, source_likelihoods
from ltbench.labelshift.temperature import TemperedHyper, tempered
from ltbench.method import Reference, log_prior
from ltbench.session import Accumulating
from ltbench.settings import setting
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class MllsHyper(TemperedHyper):
    iterations: int = setting(1000, low=1, help="iterations at most")


class Mlls(Strategy[MllsHyper]):
    """argmax l - log pi + log q, q = argmax sum_i log sum_j p_ij q_j / pi_j.

    l = mean_e(z_e + b_e), p = softmax(l) the posteriors at the training prior pi, where q starts. The
    published method: maximum likelihood label shift by expectation maximisation. ``em`` is the same
    under a Dirichlet prior, which keeps the classes of few images from dying out.
    ``temperature=holdout``: l / T in the place of l, T fitted on the hold-out.
    """

    name: ClassVar = "mlls"
    title: ClassVar = "maximum-likelihood prior"
    needs: ClassVar = frozenset({"bias"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = MllsHyper
    tried_with: ClassVar = {"iterations": 20}
    reference: ClassVar = Reference(
        authors="Saerens, Latinne, Decaestecker",
        title="Adjusting the outputs of a classifier to new a priori probabilities: a simple procedure",
        venue="Neural Computation 14(1)",
        year=2002,
        url="https://doi.org/10.1162/089976602753284446",
    )

    def session(self, source: Source, rng: torch.Generator) -> Session:
        return Accumulating(self, source, rng)

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        posterior, facts = tempered(source, self.hyper)
        u = source_likelihoods(test.logits, source, posterior)
        pi = log_prior(source.method.counts).double().exp()
        found = em(u, pi, iterations=self.hyper.iterations)
        del u  # as large as all scores, and these come next
        return predict_at(found.prior, test, source, posterior, found.to_json() | facts)
