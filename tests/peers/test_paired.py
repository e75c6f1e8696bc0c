"""Paired differences over seeds, Holm, and detectable differences against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mpmath import mp, mpf
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from ltbench.report.rows.summary import summarise
from ltbench.report.statistics.comparison import ALPHA, POWER, detectable_in_sd, holm, paired

from .table import Ledger

SEEDS = (3, 5, 10, 30)


def student_tail(t: float, freedom: int) -> float:
    """Two-sided p in 40 digits, from the incomplete beta function."""
    mp.dps = 40
    nu = mpf(freedom)
    return float(mp.betainc(nu / 2, mpf(1) / 2, 0, nu / (nu + mpf(t) ** 2), regularized=True))


@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0, 30.0])
def test_paired_t(n: int, shift: float, ledger: Ledger) -> None:
    rng = np.random.default_rng(n)
    one, other = 70 + shift + rng.normal(size=n), 70 + rng.normal(size=n)
    ours = paired(dict(enumerate(one)), dict(enumerate(other)))
    assert ours is not None
    assert ours.p is not None
    assert ours.half_width is not None
    theirs = DescrStatsW(one - other)
    t, p, _ = theirs.ttest_mean(0)
    exact = student_tail(t, n - 1)
    ledger.record(
        "p of the paired t test, relative",
        "statsmodels",
        abs(ours.p - p) / p,
        ours=abs(ours.p - exact) / exact,
        theirs=abs(p - exact) / exact,
    )
    low, high = theirs.tconfint_mean(0.05)
    width = (high - low) / 2
    ledger.record(
        "half-width of the 95 % interval of a difference, relative",
        "statsmodels",
        abs(ours.half_width - width) / width,
    )
    cell = summarise(one)
    assert cell is not None
    assert cell.half_width is not None
    low, high = DescrStatsW(one).tconfint_mean(0.05)
    width = (high - low) / 2
    ledger.record(
        "half-width of the 95 % interval over seeds, relative",
        "statsmodels",
        abs(cell.half_width - width) / width,
    )


@pytest.mark.parametrize("m", [1, 2, 7, 40])
def test_holm(m: int, ledger: Ledger) -> None:
    rng = np.random.default_rng(m)
    for scale in (1.0, 0.05, 1e-6):
        p = (rng.random(m) * scale).round(8)
        p[0], p[-1] = p[-1], p[0]
        theirs = multipletests(p, method="holm")[1]
        ledger.record("Holm's adjusted p", "statsmodels", float(np.abs(holm(p) - theirs).max()))
        ties = np.repeat(p, 2)
        theirs = multipletests(ties, method="holm")[1]
        ledger.record("Holm's adjusted p", "statsmodels", float(np.abs(holm(ties) - theirs).max()))


@pytest.mark.parametrize("n", SEEDS)
def test_detectable_difference(n: int, ledger: Ledger) -> None:
    ours = detectable_in_sd(n)
    found = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER, alternative="two-sided")
    theirs = float(found) * math.sqrt(2)
    exact = smallest_detectable(n)
    ledger.record(
        "detectable difference in sd, relative",
        "statsmodels",
        abs(ours - theirs) / theirs,
        "both; quadrature of the non-central t",
        ours=abs(ours - exact) / exact,
        theirs=abs(theirs - exact) / exact,
    )


def smallest_detectable(n: int) -> float:
    """From P(|T| > t) of the non-central t by quadrature over the chi distribution."""
    from scipy import integrate, optimize, stats

    freedom = n - 1
    critical = stats.t.ppf(1 - ALPHA / 2, freedom)

    def power(shift: float) -> float:
        def given(s: float) -> float:  # s: sample sd over sd
            tails = stats.norm.sf(critical * s - shift) + stats.norm.cdf(-critical * s - shift)
            return float(
                tails * stats.chi.pdf(s * math.sqrt(freedom), freedom) * math.sqrt(freedom)
            )

        return float(integrate.quad(given, 0, 12, epsabs=1e-13, epsrel=1e-12, limit=400)[0])

    shift = optimize.brentq(lambda x: power(x) - POWER, 0.1, 30, xtol=1e-12)
    return float(shift * math.sqrt(2 / n))
