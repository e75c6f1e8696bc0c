"""Tilt whose exponent is corrected by what a labelled hold-out shows of its bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.labelshift.holdout import known_holdout, weights_for
from ltbench.labelshift.posterior import predict_at, source_likelihoods
from ltbench.labelshift.temperature import TemperedHyper, tempered
from ltbench.labelshift.tilt import fit_tilt, fit_tilts, head_score, powers, tilted
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest

GRID = torch.linspace(-3, 3, 25, dtype=torch.float64)
"""True exponents at which the bias is measured. At imbalance 100 the training prior's is 1.4."""


@dataclass(frozen=True)
class TiltHoldoutHyper(TemperedHyper):
    spread: float = setting(3.0, above=0, help="standard deviation of the exponent's normal prior")


class TiltHoldout(Strategy[TiltHoldoutHyper]):
    """argmax l - log pi + log q_a, q_a(y) proportional to exp(a h(y)), a the root of m(a) = t.

    t is the exponent that ``tilt`` of degree 1 finds on the test images, m(a) what it finds on the
    hold-out re-weighted to q_a. So posteriors that are wrong on new images do no harm as long as they
    are wrong in the same way on hold-out images and m rises; one parameter for all classes needs only a
    few images of each. Of several roots the one nearest to 0 (uniform), without any the end of
    [-3, 3] whose m is nearest to t. ``temperature=holdout``: l / T in the place of l throughout, T
    fitted on the same hold-out. ltbench's own, docs/tilt.md.
    """

    name: ClassVar = "tilt-holdout"
    title: ClassVar = "tilted prior, bias-corrected"
    needs: ClassVar = frozenset({"bias", "holdout"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = TiltHoldoutHyper

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        features = powers(head_score(source.method.counts), 1)
        held = known_holdout(source)
        posterior, facts = tempered(source, self.hyper)
        inside = source_likelihoods(held.logits, source, posterior)
        priors = [tilted(a[None], features) for a in GRID]
        weights = torch.stack([weights_for(held.labels, q) for q in priors])
        fits = fit_tilts(inside, features, self.hyper.spread, weights)
        measured = torch.stack([fit.exponents[0] for fit in fits])
        u = source_likelihoods(test.logits, source, posterior)
        found = fit_tilt(u, features, self.hyper.spread).exponents[0]
        exponent = root(measured - found)
        facts |= {
            "exponents": [exponent.item()],
            "uncorrected": found.item(),
            "at_limit": exponent.abs().item() >= GRID[-1].item(),
        }
        return predict_at(tilted(exponent[None], features), test, source, posterior, facts)


def root(values: Tensor) -> Tensor:
    """Where ``values`` on ``GRID`` cross 0 upwards, interpolated: the crossing nearest to 0, or the
    end of the grid with the value nearest to 0."""
    left, right = values[:-1], values[1:]
    crossing = ((left <= 0) & (right > 0)).nonzero()[:, 0]
    if len(crossing) == 0:
        return GRID[0] if values[0].abs() < values[-1].abs() else GRID[-1]
    share = -left[crossing] / (right[crossing] - left[crossing])
    places = GRID[crossing] + share * (GRID[1] - GRID[0])
    return places[places.abs().argmin()]
