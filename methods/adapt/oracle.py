"""Oracle: the Bayes-optimal prediction for the true label distribution of the test set."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ltbench.method import NoHyper, log_prior
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest


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
        assert source.bias is not None  # 'bias' is in needs
        shift = test.true_prior.log().float() - log_prior(source.method.counts)
        bias = source.bias

        def predict(logits: Tensor) -> Tensor:
            return (logits + bias).mean(dim=1) + shift

        return Adapted(logits=predict(test.logits), frozen=predict, prior=test.true_prior)
