"""A temperature for log-posteriors that are too sure of themselves, fitted on the hold-out."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.hyper import Json
from ltbench.labelshift.calibration import fit_temperature
from ltbench.labelshift.holdout import known_holdout
from ltbench.labelshift.posterior import ExpertsHyper, LogPosterior, log_posterior
from ltbench.settings import setting
from ltbench.strategy import Source


@dataclass(frozen=True)
class TemperedHyper(ExpertsHyper):
    """For strategies that reason about priors and have no calibration of their own."""

    temperature: str = setting(
        "none",
        choices=("none", "holdout"),
        later=True,
        needs={"holdout": "holdout"},
        help="log-posteriors are divided by a temperature that is fitted on the hold-out",
    )


def tempered(source: Source, hyper: TemperedHyper) -> tuple[LogPosterior, dict[str, Json]]:
    """l, or l / T where the setting asks for it; and what the diagnostics say about T."""
    plain = log_posterior(source, hyper)
    return (plain, {}) if hyper.temperature == "none" else on_holdout(source, plain)


def on_holdout(source: Source, plain: LogPosterior) -> tuple[LogPosterior, dict[str, Json]]:
    """l / T, T = argmin mean_i w_i NLL(softmax(l_i / T), y_i) over the hold-out.

    The weights make the hold-out stand for the training distribution, so that softmax(l / T) is the
    calibrated posterior at the training prior pi: T acts before log pi is taken off, and what follows
    is l / T - log pi + log q. T changes no argmax at the training prior; at another one it decides how
    much the prior weighs against the image.
    """
    held = known_holdout(source)
    found = fit_temperature(plain(held.logits), held.labels, held.weights)
    temperature = 1 / found.inverse_temperature
    scaled = LogPosterior(plain.bias, plain.combine, temperature)
    return scaled, {"temperature": temperature, "calibrated": found.converged}
