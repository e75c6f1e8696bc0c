"""Tilt by a moment that a labelled hold-out calibrates, where plain likelihood is biased."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Json
from ltbench.labelshift.holdout import known_holdout, weights_for
from ltbench.labelshift.posterior import predict_at, source_likelihoods
from ltbench.labelshift.tilt import head_score, powers, tilted
from ltbench.method import NoHyper
from ltbench.strategy import Adapted, Source, Strategy, UnlabelledTest

GRID = torch.linspace(-4, 4, 161, dtype=torch.float64)
"""Exponents that are tried. At imbalance 100 the training prior's is 1.3, its reverse -1.3."""


class TiltHoldout(Strategy[NoHyper]):
    """argmax l - log pi + log q_a, q_a(y) proportional to exp(a h(y)), a the root of m(a) = t.

    t = mean over test images of sum_j u_ij h_j, u = softmax(l - log pi), h the standardised log pi:
    how much of a head class they look. m(a): the same over the hold-out, re-weighted to q_a. As in
    BBSE a statistic is matched that is linear in the prior, so that a network whose posteriors are
    wrong on new images does no harm as long as they are wrong in the same way on hold-out images; one
    parameter for all classes needs only a few images of each. Of several roots the one nearest to
    0 (uniform), without any the nearest end of [-4, 4]. ltbench's own, docs/tilt.md.
    """

    name: ClassVar = "tilt-holdout"
    title: ClassVar = "tilted prior, calibrated"
    needs: ClassVar = frozenset({"bias", "holdout"})
    uses_predict: ClassVar = False

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        h = head_score(source.method.counts)
        held = known_holdout(source)

        def looks(logits: Tensor) -> Tensor:
            u = source_likelihoods(logits, source)
            return (u / u.sum(dim=1, keepdim=True)) @ h

        priors = [tilted(a[None], powers(h, 1)) for a in GRID]
        inside = looks(held.logits)
        moments = torch.stack([(weights_for(held.labels, q) * inside).mean() for q in priors])
        target = looks(test.logits).mean()
        exponent = root(moments - target)
        facts: dict[str, Json] = {"exponents": [exponent.item()], "moment": target.item()}
        return predict_at(tilted(exponent[None], powers(h, 1)), test, source, facts)


def root(values: Tensor) -> Tensor:
    """Where ``values`` on ``GRID`` cross 0, interpolated: the crossing nearest to 0, or the end of
    the grid with the value nearest to 0."""
    left, right = values[:-1], values[1:]
    crossing = ((left <= 0) & (right > 0)).nonzero()[:, 0]
    if len(crossing) == 0:
        return GRID[0] if values[0].abs() < values[-1].abs() else GRID[-1]
    share = -left[crossing] / (right[crossing] - left[crossing])
    places = GRID[crossing] + share * (GRID[1] - GRID[0])
    return places[places.abs().argmin()]
