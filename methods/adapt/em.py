"""EM: the most probable prior of the unlabelled test images, under a Dirichlet prior of its own."""

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
class EmHyper(TemperedHyper):
    map: float = setting(
        2.0,
        low=1,
        help="concentration of the Dirichlet prior on q, the same for every class; 1: none",
    )
    iterations: int = setting(1000, low=1, help="iterations at most")


class Em(Strategy[EmHyper]):
    """argmax l - log pi + log q, q = argmax sum_i log sum_j p_ij q_j / pi_j + (map - 1) sum_j log q_j.

    l = mean_e(z_e + b_e), p = softmax(l) the posteriors at the training prior pi, where q starts.
    Above ``map`` = 1 every class has map - 1 images in advance, so that no class dies out: a maximum
    of the posterior. ``map`` = 1 is the published maximum-likelihood method, which is ``mlls``.
    ``temperature=holdout``: l / T in the place of l, T fitted on the hold-out.
    """

    name: ClassVar = "em"
    title: ClassVar = "EM prior"
    needs: ClassVar = frozenset({"bias"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = EmHyper
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
        found = em(u, pi, self.hyper.map - 1, iterations=self.hyper.iterations)
        del u  # as large as all scores, and these come next
        return predict_at(found.prior, test, source, posterior, found.to_json() | facts)
