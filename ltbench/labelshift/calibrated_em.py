"""EM on posteriors that were calibrated on a labelled hold-out."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ltbench.hyper import Json
from ltbench.labelshift.calibration import Calibration
from ltbench.labelshift.em import em
from ltbench.labelshift.holdout import Holdout, known_holdout
from ltbench.labelshift.posterior import corrected_mean, known_bias, likelihoods
from ltbench.pieces import by_pieces
from ltbench.strategy import Adapted, Source, UnlabelledTest

Fit = Callable[[Tensor, Holdout], Calibration]
"""Log-posteriors l ``(H, C)`` of the hold-out, and the hold-out, to a calibration of them."""


def adapt_calibrated(
    test: UnlabelledTest,
    source: Source,
    fit: Fit,
    *,
    pseudo: float,
    iterations: int,
    combine: str,
) -> tuple[Adapted, Holdout]:
    """argmax log p - log s + log q: p the calibrated posteriors, q what EM finds from s on.

    The source prior s is the mean of p over the hold-out, weighted to stand for the training
    distribution, so that EM finds no shift there. pseudo: images that every class has in advance.
    """
    held, bias = known_holdout(source), known_bias(source)
    inside = corrected_mean(held.logits, bias, combine)
    calibrate = fit(inside, held)
    posterior = calibrate(inside).exp()
    prior = (held.weights[:, None] * posterior).mean(dim=0)
    del (
        inside,
        posterior,
    )  # as large as the hold-out's scores, and those of the test images come next

    def evidence(logits: Tensor) -> Tensor:
        return calibrate(corrected_mean(logits, bias, combine)) - prior.log()

    u = by_pieces(lambda piece: likelihoods(evidence(piece)), test.logits)
    found = em(u, prior, pseudo, iterations=iterations)
    del u  # as large as all scores, and these come next

    def predict(logits: Tensor) -> Tensor:
        return by_pieces(lambda piece: evidence(piece) + found.prior.log(), logits)

    temperature: Json = (1 / calibrate.slope).tolist()
    facts = {**found.to_json(), "temperature": temperature, "calibrated": calibrate.converged}
    adapted = Adapted(predict(test.logits), predict, prior=found.prior, diagnostics=facts)
    return adapted, held
