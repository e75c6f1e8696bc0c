"""Oracle: the Bayes-optimal prediction for the true label distribution of the test set."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.method import NoHyper, log_prior
from ltbench.pieces import by_pieces
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest


class Oracle(Strategy[NoHyper]):
    """argmax mean_e (z_e + b_e) - log pi + log q, q the realised label frequencies of the draw.

    z_e + b_e is the log-posterior under the training prior pi; a class that is absent (q = 0) is
    never predicted. An upper reference, not a method: it knows what a user does not.
    """

    name: ClassVar = "oracle"
    title: ClassVar = "true test prior"
    needs: ClassVar = frozenset({"true_prior", "bias"})
    uses_predict: ClassVar = False

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        predict = bayes(source, test.true_prior)
        return Adapted(logits=predict(test.logits), frozen=predict, prior=test.true_prior)

    def session(self, source: Source, rng: torch.Generator) -> Session:
        return OracleSession(source)


class OracleSession(Session):
    """Knows the frequencies of the whole stream, not when which class comes.

    In a random order no strategy can know more. Where the prior drifts it is the best fixed prior and
    no bound: a strategy that follows the drift may pass it.
    """

    predicts: ClassVar = "fixed"

    def __init__(self, source: Source) -> None:
        self.source = source

    def step(self, batch: UnlabelledTest) -> Tensor:
        return bayes(self.source, batch.true_prior)(batch.logits)


def bayes(source: Source, prior: Tensor) -> Callable[[Tensor], Tensor]:
    """``(N, E, C)`` to ``(N, C)``: Bayes' rule under ``prior`` ``(C,)``."""
    assert source.bias is not None  # 'bias' is in needs
    shift = prior.log().float() - log_prior(source.method.counts)
    bias = source.bias

    def predict(logits: Tensor) -> Tensor:
        return by_pieces(lambda piece: (piece + bias).mean(dim=1) + shift, logits)

    return predict
