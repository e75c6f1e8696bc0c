"""Paired tests, Holm, ties and detectable differences against scipy and numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ltbench.report.statistics.comparison import (
    best_or_tied,
    detectable_in_sd,
    holm,
    paired,
    pooled_sd,
)


def test_paired_difference_is_scipys() -> None:
    a, b = [50.0, 52.0, 54.5, 51.0, 53.0], [49.0, 51.5, 52.0, 51.0, 51.0]
    found = paired(dict(enumerate(a)), dict(enumerate(b)))
    assert found is not None
    expected = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx((low + high) / 2)
    assert found.half_width == pytest.approx((high - low) / 2)
    assert (found.better, found.equal, found.probability) == (4, 1, 0.9)


def test_only_common_seeds_are_paired_and_two_give_no_test() -> None:
    found = paired({0: 1.0, 1: 2.0, 2: None, 3: 9.0}, {0: 0.0, 1: 1.0, 2: 5.0})
    assert found is not None
    assert (found.n, found.mean, found.half_width, found.p) == (2, 1.0, None, None)
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_equal_differences_have_no_noise_to_test_against() -> None:
    same = paired({0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    shifted = paired({0: 1.3, 1: 2.3, 2: 3.3}, {0: 1.0, 1: 2.0, 2: 3.0})
    assert same is not None
    assert shifted is not None
    assert (same.p, shifted.p) == (1.0, 0.0)


def slow_holm(p: list[float]) -> list[float]:
    """Holm's step-down as a procedure: the smallest level at which each hypothesis is rejected."""
    found = []
    for own in p:
        level = 0.0
        for rank, other in enumerate(sorted(p)):
            if other <= own:
                level = max(level, (len(p) - rank) * other)
        found.append(min(1.0, level))
    return found


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_the_slow_transcription(p: list[float]) -> None:
    assert holm(p) == pytest.approx(slow_holm(p))


def test_ties_with_the_best_are_marked_and_the_worse_is_not() -> None:
    best = {seed: 60.0 + seed for seed in range(5)}
    near = {seed: 60.0 + seed + (-1) ** seed * 0.5 for seed in range(5)}
    far = {seed: 50.0 + seed + 0.1 * (seed % 2) for seed in range(5)}
    assert best_or_tied([[best, near, far]], [False]) == [{0, 1}]
    assert best_or_tied([[best, near, far]], [True]) == [{2}]


def test_nothing_is_marked_without_three_common_seeds() -> None:
    assert best_or_tied([[{0: 60.0}, {0: 10.0}], [{}, {}]], [False, False]) == [set(), set()]
    five = {seed: 60.0 + seed for seed in range(5)}
    once = {0: 59.0}
    other = {seed: 40.0 + seed + 0.1 * (seed % 2) for seed in range(5)}
    assert best_or_tied([[five, once, other]], [False]) == [{0, 1}]


@pytest.mark.parametrize(("n", "expected"), [(3, 4.616), (5, 2.379), (10, 1.409)])
def test_detectable_difference_has_the_power_it_claims(n: int, expected: float) -> None:
    found = detectable_in_sd(n)
    assert found == pytest.approx(expected, abs=1e-3)
    critical = stats.t.ppf(0.975, n - 1)
    assert stats.nct.sf(critical, n - 1, found * math.sqrt(n / 2)) == pytest.approx(0.8, abs=1e-6)


def test_pooled_sd_by_hand() -> None:
    rows = [{0: 1.0, 1: 3.0}, {0: 5.0, 1: 5.0, 2: 8.0}, {0: 9.0}]
    assert pooled_sd(rows) == pytest.approx(math.sqrt((2.0 + 6.0) / 3))
    assert pooled_sd([{0: 1.0}]) is None


def test_equal_means_lead_jointly_whatever_their_last_bit() -> None:
    """Two leaders equal as fractions: one steady, one noisy; the third is told from the steady one."""
    steady = dict(enumerate([97.0, 97.0, 97.01, 96.99, 97.0]))
    noisy = dict(enumerate([98.0, 96.0, 98.5, 95.5, 97.0]))
    third = dict(enumerate([95.9, 96.1, 95.9, 96.1, 96.0]))
    far = dict(enumerate([50.0, 50.1, 49.9, 50.0, 50.05]))
    for nudge in (-1e-13, 0.0, 1e-13):
        moved = {seed: value + nudge for seed, value in steady.items()}
        assert best_or_tied([[moved, noisy, third, far]], [False]) == [{0, 1, 2}]
        assert best_or_tied([[noisy, moved, third, far]], [False]) == [{0, 1, 2}]
    assert best_or_tied([[steady, third, far]], [False]) == [{0}]  # told from its only leader


def test_an_infinite_mean_is_neither_best_nor_tied() -> None:
    finite = dict(enumerate([1.5, 1.6, 1.55]))
    infinite = {0: math.inf, 1: 1.0, 2: 1.0}
    other = dict(enumerate([1.6, 1.5, 1.6]))
    assert best_or_tied([[finite, infinite, other]], [True]) == [{0, 2}]
    assert best_or_tied([[finite, infinite]], [True]) == [set()]  # nothing to compare with


def test_ties_of_seeds_do_not_hang_on_the_last_bit() -> None:
    found = paired({0: 50.0, 1: 60.0}, {0: 50.0 + 1e-13, 1: 50.0})
    assert found is not None
    assert (found.better, found.equal, found.probability) == (1, 1, 0.75)
