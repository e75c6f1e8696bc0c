"""Mean ranks and Nemenyi's critical difference against autorank and scikit-posthocs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from autorank import autorank
from scipy import integrate, optimize
from scipy.stats import norm

from ltbench.report.statistics.aggregate import critical_difference, mean_ranks

from .table import Ledger


@pytest.mark.parametrize("methods", [3, 5, 12])
@pytest.mark.parametrize("blocks", [8, 30])
@pytest.mark.parametrize("ties", [False, True])
def test_ranks(methods: int, blocks: int, ties: bool, ledger: Ledger) -> None:
    rng = np.random.default_rng(methods * blocks)
    scores = 70 + rng.normal(size=(blocks, methods)) + 0.4 * np.arange(methods)
    if ties:
        scores = scores.round()
    names = [f"m{j:02d}" for j in range(methods)]
    found = autorank(
        pd.DataFrame(scores, columns=names), force_mode="nonparametric", order="descending"
    )
    theirs = found.rankdf["meanrank"].reindex(names).to_numpy(dtype=float)
    ours = mean_ranks(scores)
    ledger.record("mean rank", "autorank", float(np.abs(ours - theirs).max()))
    cd = critical_difference(methods, blocks)
    exact = exact_difference(methods, blocks)
    ledger.record(
        "Nemenyi's critical difference, relative",
        "autorank",
        abs(cd - found.cd) / cd,
        APPROXIMATE,
        ours=abs(cd - exact) / exact,
        theirs=abs(found.cd - exact) / exact,
    )
    p = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    apart = np.abs(ours[:, None] - ours[None, :])
    # p is 0.05 where two ranks are a critical difference apart: the same studentised range.
    wrong = ((p < 0.05) != (apart > cd)) & ~np.eye(methods, dtype=bool)
    ledger.record(
        "pairs that a critical difference tells apart", "scikit-posthocs", float(wrong.sum())
    )


APPROXIMATE = "we: it approximates the studentised range; quadrature of its distribution"


def exact_difference(methods: int, blocks: int) -> float:
    """P(range of K standard normals <= q) = K int phi(z) (Phi(z) - Phi(z - q))^(K - 1) dz."""

    def below(q: float) -> float:
        def density(z: float) -> float:
            return float(norm.pdf(z) * (norm.cdf(z) - norm.cdf(z - q)) ** (methods - 1))

        return methods * float(integrate.quad(density, -9, 9 + q, epsabs=1e-13, limit=200)[0])

    q = optimize.brentq(lambda x: below(x) - 0.95, 1, 10, xtol=1e-12)
    return float(q * np.sqrt(methods * (methods + 1) / (12 * blocks)))
