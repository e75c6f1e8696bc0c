"""Rare branches of the statistics: what they give there, worked out by hand or by scipy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ltbench.report.records.schema import Training
from ltbench.report.rows.rows import Row
from ltbench.report.statistics import images
from ltbench.report.statistics.binned import rank_bins
from ltbench.report.statistics.combined import _share
from ltbench.report.statistics.comparison import tied_with_best
from ltbench.report.statistics.components import Components, components
from ltbench.report.statistics.images import image_intervals, resampled_hits
from ltbench.report.statistics.mix import SEEDS_APART, FixedRow, difference
from ltbench.report.statistics.regret import oracles
from ltbench.report.statistics.strata import RowBits

ROW = Row("ce", "ce", Training("ce", "{}", "1", ""))
HALVES = np.array([0.5, 0.5])


def of_recalls(seeds: tuple[int, ...], recalls: list[list[float]]) -> FixedRow:
    return FixedRow(ROW, seeds, np.array(recalls), None)


@pytest.mark.parametrize(("other", "p"), [(0.5, 1.0), (0.25, 0.0)])
def test_rows_without_any_spread_over_unlike_seeds(other: float, p: float) -> None:
    one = of_recalls((0, 1, 2), [[0.5, 0.5]] * 3)
    two = of_recalls((3, 4, 5), [[other, other]] * 3)
    found = difference(one, two, HALVES)
    assert (found.mean, found.half_width) == (pytest.approx(50 - 100 * other), 0.0)
    assert (found.over, found.p) == (SEEDS_APART, p)


@pytest.mark.parametrize("scale", [1e-2, 1e-6])
def test_a_small_spread_is_no_rounding(scale: float) -> None:
    rng = np.random.default_rng(0)
    a, b = 0.5 + scale * rng.random((3, 2)), 0.5 + scale * rng.random((4, 2))
    one, two = of_recalls((0, 1, 2), a.tolist()), of_recalls((3, 4, 5, 6), b.tolist())
    found = difference(one, two, HALVES)
    expected = stats.ttest_ind(100 * a.mean(axis=1), 100 * b.mean(axis=1), equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    interval = expected.confidence_interval()
    assert found.half_width == pytest.approx((interval.high - interval.low) / 2, rel=1e-6)


def test_bins_of_no_class_and_of_one() -> None:
    assert rank_bins([]) == []
    assert rank_bins([4]) == [[4]]


def test_of_joint_leaders_the_first_is_what_the_family_is_compared_with() -> None:
    """It was not tested, the other two were, with the fourth: m = 3, and 3 * 0.02 tells nothing."""

    def p_value(index: int, leader: int) -> float | None:
        if 0 in (index, leader):
            return None
        return 0.02 if index == 3 else 0.9

    assert tied_with_best([60.0, 60.0, 60.0, 50.0], p_value) == {0, 1, 2, 3}


def stub(monkeypatch: pytest.MonkeyPatch, bits: list[list[int]], sizes: tuple[int, ...]) -> None:
    array = np.array(bits, dtype=bool)
    found = RowBits(ROW, tuple(range(len(array))), array, sizes)
    monkeypatch.setattr(images, "rows_bits", lambda rows, name: [found])


@pytest.mark.parametrize(("sizes", "known"), [((20,), False), ((12, 8), True), ((12, 4, 4), True)])
def test_two_classes_are_strata_and_one_may_stand_for_all(
    sizes: tuple[int, ...], known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, [[1, 0] * 10], sizes)
    assert image_intervals([ROW], "uniform").stratified is known


def test_resamples_are_a_thousand_each_of_as_many_images_as_the_class_has() -> None:
    hits = np.array([[1, 0], [1, 0], [0, 3], [0, 3], [0, 3]])
    sums = resampled_hits(hits, (2, 3))
    assert sums.shape == (1000, 2)
    assert np.unique(sums, axis=0).tolist() == [[2, 9]]  # classes are never mixed
    spread = resampled_hits(np.array([[1], [0], [1], [1], [0]]), (2, 3))
    assert set(np.unique(spread)) == {0, 1, 2, 3, 4, 5}
    assert spread.mean() == pytest.approx(3, abs=0.1)
    assert np.array_equal(spread, resampled_hits(np.array([[1], [0], [1], [1], [0]]), (2, 3)))


def test_freedom_of_images_over_classes_of_unlike_size_is_satterthwaites() -> None:
    """(sum_c v_c)^2 / sum_c v_c^2 / (n_c - 1), v_c the part of class c in the variance of the mean."""
    sizes = (3, 8, 5)
    values = np.random.default_rng(0).random((4, 16)) * np.repeat([1.0, 5.0, 2.0], sizes)
    parts = []
    for n, own in zip(sizes, np.split(values, np.cumsum(sizes)[:-1], axis=1), strict=True):
        parts.append((n / 16) ** 2 * float(own.mean(axis=0).var(ddof=1)) / n)
    found = components(values, sizes)
    assert found is not None
    assert found.images == pytest.approx(sum(parts))
    squares = sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    assert found.image_freedom == pytest.approx(sum(parts) ** 2 / squares)
    flat = components(np.ones((4, 16)), sizes)
    assert flat is not None
    assert (flat.image_freedom, flat.variance, flat.p) == (13, 0, 0)


def test_the_share_of_the_images_is_that_of_their_own_part() -> None:
    """Of a variance 2 + 4 - 1; the images' mean square holds the rest, too."""
    assert _share(Components(50.0, 2.0, 4.0, 1.0, 3, 9.0)) == pytest.approx(3 / 5)
    assert _share(Components(50.0, 2.0, 0.5, 1.0, 3, 9.0)) == 0
    assert _share(Components(50.0, 0.0, 0.0, 0.0, 3, 9.0)) == 0


def test_of_several_oracles_of_a_trial_the_plain_one_counts_and_of_equal_ones_the_last() -> None:
    def oracle(strategy_params: str, label: str, accuracy: str, **changes: object) -> Any:
        known = {"uses_true_prior": True, "strategy": "oracle", "bias_kind": "closed-form"}
        return SimpleNamespace(
            **{**known, **changes},
            strategy_params=strategy_params,
            method_params="",
            label=label,
            trial=SimpleNamespace(trial="t"),
            distributions=[SimpleNamespace(name="uniform", accuracy=accuracy)],
        )

    def chosen(*evaluations: Any) -> str:
        rows: Any = [SimpleNamespace(evaluations=[each]) for each in evaluations]
        return str(getattr(oracles(rows)["t"]["uniform"], "accuracy", None))

    plain, changed = oracle("", "a", "plain"), oracle("combine=x", "a", "changed")
    assert chosen(changed, plain) == chosen(plain, changed) == "plain"
    assert chosen(plain, oracle("", "a", "later")) == "later"
    assert chosen(plain, oracle("", "a", "unsure", bias_kind="reference")) == "plain"
    assert chosen(plain, oracle("", "a", "other", strategy="em")) == "plain"
