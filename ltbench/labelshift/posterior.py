"""What experts say once their training bias is undone, and how a prior turns it into predictions.

softmax(z_e + b_e) is expert e's posterior under the training prior pi. The experts are combined as
the geometric mean of these, l = mean_e(z_e + b_e), or on request as their arithmetic mean, l = log
mean_e softmax(z_e + b_e); u = softmax(l - log pi) is then the posterior at a uniform prior,
proportional to p(x|y), and argmax l - log pi + log q the decision at a prior q. With a temperature
(:mod:`ltbench.labelshift.temperature`) l / T stands in the place of l.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.errors import ContractError
from ltbench.hyper import Hyper, Json
from ltbench.method import log_prior
from ltbench.pieces import by_pieces
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, UnlabelledTest

COMBINE = ("logits", "probabilities")


@dataclass(frozen=True)
class ExpertsHyper(Hyper):
    """How the posteriors of several experts become one; with one expert both are the same."""

    combine: str = setting(
        "logits",
        choices=COMBINE,
        later=True,
        help="experts are averaged as logits (geometric mean) or as probabilities",
    )


def corrected_mean(logits: Tensor, bias: Tensor, combine: str = "logits") -> Tensor:
    """l: ``(N, E, C)`` and ``(E, C)`` to ``(N, C)`` log-posteriors at the training prior, each image
    up to a constant. mean_e(z_e + b_e), or log mean_e softmax(z_e + b_e) for ``probabilities``."""

    def mean(z: Tensor) -> Tensor:
        if combine == "probabilities":
            posteriors = (z + bias).log_softmax(dim=2)
            return posteriors.logsumexp(dim=1) - math.log(z.shape[1])
        return (z + bias).mean(dim=1)

    return by_pieces(mean, logits)


def known_bias(source: Source) -> Tensor:
    """The bias ``(E, C)``, which a strategy with 'bias' in ``needs`` has."""
    if source.bias is None:
        raise ContractError("this strategy was given no bias, though 'bias' is in its needs")
    return source.bias


def likelihoods(scores: Tensor) -> Tensor:
    """``(N, C)`` log p(x|y) up to a constant per image, to float64 values scaled to a maximum of 1."""

    def scaled(piece: Tensor) -> Tensor:
        piece = piece.double()
        return (piece - piece.amax(dim=1, keepdim=True)).exp()

    return by_pieces(scaled, scores)


@dataclass(frozen=True)
class LogPosterior:
    """l / T: ``(N, E, C)`` to ``(N, C)`` log-posteriors at the training prior, each image up to a
    constant; bias ``(E, C)``."""

    bias: Tensor
    combine: str = "logits"
    temperature: float = 1.0

    def __call__(self, logits: Tensor) -> Tensor:
        return corrected_mean(logits, self.bias, self.combine) / self.temperature


def log_posterior(source: Source, hyper: ExpertsHyper) -> LogPosterior:
    """l as the settings combine it, at T = 1."""
    return LogPosterior(known_bias(source), hyper.combine)


def source_likelihoods(
    logits: Tensor, source: Source, posterior: LogPosterior | None = None
) -> Tensor:
    """exp(l - log pi), scaled: ``(N, E, C)`` to ``(N, C)`` float64. posterior: None for plain l."""
    said = LogPosterior(known_bias(source)) if posterior is None else posterior
    log_pi = log_prior(source.method.counts).double()
    return by_pieces(lambda piece: likelihoods(said(piece).double() - log_pi), logits)


def log_evidence(u: Tensor, prior: Tensor) -> Tensor:
    """log sum_j u_ij q_j, ``(N,)``: the log-likelihood of each image under the prior, up to a
    constant that no prior changes. Not below the smallest float64, so that it stays finite."""
    return (u @ prior).clamp_min(torch.finfo(torch.float64).tiny).log()


@dataclass(frozen=True)
class PriorScores:
    """Frozen predictor: ``(N, E, C)`` to l + shift, ``(N, C)``."""

    posterior: LogPosterior
    shift: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        return by_pieces(lambda piece: self.posterior(piece) + self.shift, logits)


def predict_at(
    prior: Tensor,
    test: UnlabelledTest,
    source: Source,
    posterior: LogPosterior,
    diagnostics: Mapping[str, Json],
) -> Adapted:
    """Predictions at the estimated prior ``(C,)``; a class of prior 0 is never predicted."""
    shift = prior.log().float() - log_prior(source.method.counts)
    frozen: Callable[[Tensor], Tensor] = PriorScores(posterior, shift)
    return Adapted(frozen(test.logits), frozen, prior=prior, diagnostics=diagnostics)
