"""Tilt: the most likely prior in a family of few parameters, along the training prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Json
from ltbench.labelshift.em import em_each
from ltbench.labelshift.posterior import predict_at, source_likelihoods
from ltbench.labelshift.selection import choose
from ltbench.labelshift.temperature import TemperedHyper, tempered
from ltbench.labelshift.tilt import fit_tilt, head_score, powers
from ltbench.session import Accumulating
from ltbench.settings import setting
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest

STRENGTHS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Images that the tilt stands for in EM shrunk towards it, as a share of the test images."""


@dataclass(frozen=True)
class TiltHyper(TemperedHyper):
    degree: int = setting(1, low=1, high=4, help="degree of the polynomial in the log prior")
    spread: float = setting(3.0, above=0, help="standard deviation of the exponents' normal prior")
    fallback: bool = setting(
        False, help="also tries EM shrunk towards the tilt; held-out likelihood decides"
    )


class Tilt(Strategy[TiltHyper]):
    """argmax l - log pi + log q_a, q_a(y) proportional to exp(sum_k a_k h(y)^k), k = 1..degree.

    l = mean_e(z_e + b_e); h: log pi, standardised over classes (all zero where training counts are
    equal). a maximises sum_i log sum_j u_ij q_a(j) - |a|^2 / (2 spread^2), u = softmax(l - log pi).
    ``fallback``: tilts of degree 1 to ``degree`` and EM with the tilt as its Dirichlet prior, of
    several strengths, are fitted on one half of the test images and scored by the likelihood of the
    other; the simplest within one standard error of the best is used (no label has a part in it).
    ``temperature=holdout``: l / T in the place of l, T fitted on the hold-out. The defaults were chosen
    on held-out training images. ltbench's own, docs/tilt.md.
    """

    name: ClassVar = "tilt"
    title: ClassVar = "tilted prior"
    needs: ClassVar = frozenset({"bias"})
    uses_predict: ClassVar = False
    hyper_type: ClassVar = TiltHyper

    def session(self, source: Source, rng: torch.Generator) -> Session:
        return Accumulating(self, source, rng)

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        posterior, facts = tempered(source, self.hyper)
        u = source_likelihoods(test.logits, source, posterior)
        h = head_score(source.method.counts)
        found = fit_tilt(u, powers(h, self.hyper.degree), self.hyper.spread)
        facts |= {"exponents": found.exponents.tolist()}
        if not self.hyper.fallback:
            del u  # as large as all scores, and these come next
            return predict_at(found.prior, test, source, posterior, facts)
        choice = choose(u, [lambda half: self._priors(half, h)], rng)
        name = self._names()[choice.index]
        gains: dict[str, Json] = dict(zip(self._names(), choice.gains, strict=True))
        facts |= {"chosen": name, "held_out_gain": gains}
        prior = self._priors(u, h, [choice.index])[0]
        return predict_at(prior, test, source, posterior, facts)

    def _names(self) -> list[str]:
        """Of the candidates, the simplest first."""
        tilts = [f"tilt[degree={degree}]" for degree in range(1, self.hyper.degree + 1)]
        return tilts + [f"em[strength={s:g}]" for s in STRENGTHS]

    def _priors(self, u: Tensor, h: Tensor, wanted: Sequence[int] | None = None) -> Tensor:
        """Priors ``(M, C)`` from likelihoods ``(N, C)``: of all candidates, or of those wanted."""
        degree = self.hyper.degree
        chosen = range(degree + len(STRENGTHS)) if wanted is None else wanted
        degrees = {min(index + 1, degree) for index in chosen}
        tilts = {k: fit_tilt(u, powers(h, k), self.hyper.spread).prior for k in degrees}
        strengths = [STRENGTHS[index - degree] for index in chosen if index >= degree]
        found = [tilts[index + 1] for index in chosen if index < degree]
        if strengths:
            pseudo = torch.tensor(strengths).double()[:, None] * len(u) * tilts[degree]
            found += [one.prior for one in em_each(u, tilts[degree], pseudo)]
        return torch.stack(found)
