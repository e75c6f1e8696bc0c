"""Accuracy at any mix, its interval and differences, against slow transcriptions."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ltbench.report.records.read import read_records
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import build_sections
from ltbench.report.statistics.mix import (
    IMAGES,
    IMAGES_APART,
    SEEDS,
    SEEDS_APART,
    FixedRow,
    accuracy,
    difference,
    fixed_rows,
)
from ltbench.report.statistics.strata import RowBits

from ..builder import Results, flat

SIZES = (12, 5, 9)
SHARES = np.array([0.7, 0.05, 0.25])


def row(seed: int, seeds: tuple[int, ...], *, bits: bool = True, level: float = 0.6) -> FixedRow:
    """Random hits of images of three classes."""
    rng = np.random.default_rng(seed)
    correct = rng.random((len(seeds), sum(SIZES))) < level
    parts = np.split(correct, np.cumsum(SIZES)[:-1], axis=1)
    recalls = np.stack([part.mean(axis=1) for part in parts], axis=1)
    own: Row = None  # type: ignore[assignment]  # not looked at here
    known = RowBits(own, seeds, correct, SIZES) if bits else None
    return FixedRow(own, seeds, recalls, np.array(SIZES, dtype=float), known)


def split(values: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    return [part.astype(float) for part in np.split(values, np.cumsum(SIZES)[:-1])]


def test_over_seeds_it_is_the_t_interval_of_weighted_recalls() -> None:
    one = row(0, (0, 1, 2, 3))
    assert one.bits is not None
    values = [
        100 * sum(q * part.mean() for q, part in zip(SHARES, split(own), strict=True))
        for own in one.bits.correct
    ]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = accuracy(one, SHARES)
    assert (found.mean, found.over) == (pytest.approx(np.mean(values)), SEEDS)
    assert found.half_width == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_over_images_each_class_is_a_stratum_with_a_hit_and_a_miss_more(
    seeds: tuple[int, ...],
) -> None:
    one = row(1, seeds)
    assert one.bits is not None
    variance, mean = 0.0, 0.0
    for q, part in zip(SHARES, split(one.bits.correct.mean(axis=0)), strict=True):
        n = len(part)
        shrunk = (part.sum() + 1) / (n + 2)
        variance += q**2 * shrunk * (1 - shrunk) / (n + 2)
        mean += 100 * q * part.mean()
    found = accuracy(one, SHARES)
    assert (found.mean, found.over) == (pytest.approx(mean), IMAGES)
    assert found.half_width == pytest.approx(100 * stats.norm.ppf(0.975) * math.sqrt(variance))


def test_the_interval_over_images_covers() -> None:
    """95 % of 2000 test sets; also where a rare class has ten images that are mostly right."""
    rng = np.random.default_rng(0)
    truth, n = np.array([0.9, 0.97]), np.array([200, 10])
    q = np.array([0.95, 0.05])
    covered = 0
    own: Row = None  # type: ignore[assignment]
    for _ in range(2000):
        recalls = (rng.binomial(n, truth) / n)[None]
        found = accuracy(FixedRow(own, (0,), recalls, n.astype(float)), q)
        assert found.half_width is not None
        covered += abs(found.mean - 100 * q @ truth) <= found.half_width
    assert 0.93 <= covered / 2000 <= 0.985


def test_classes_without_a_share_do_not_matter() -> None:
    one = row(2, (0,))
    unknown = FixedRow(one.row, one.seeds, one.recalls.copy(), one.sizes)
    unknown.recalls[:, 1] = np.nan
    shares = np.array([0.5, 0.0, 0.5])
    assert accuracy(one, shares) == accuracy(unknown, shares)


def test_differences_over_equal_seeds_are_paired() -> None:
    one, other = row(3, (0, 1, 2)), row(4, (0, 1, 2))
    a, b = (list(r.per_seed(SHARES).values()) for r in (one, other))
    found = difference(one, other, SHARES)
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.over, found.p) == (SEEDS, pytest.approx(stats.ttest_rel(a, b).pvalue))


def test_differences_over_unlike_seeds_are_welchs() -> None:
    one, other = row(3, (0, 1, 2)), row(4, (1, 2, 3, 4, 5))
    a, b = (list(r.per_seed(SHARES).values()) for r in (one, other))
    found, expected = difference(one, other, SHARES), stats.ttest_ind(a, b, equal_var=False)
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.over, found.p) == (SEEDS_APART, pytest.approx(expected.pvalue))
    interval = expected.confidence_interval()
    assert found.half_width == pytest.approx((interval.high - interval.low) / 2)


def test_differences_over_images_are_paired_where_the_images_are_known() -> None:
    one, other = row(5, (0,)), row(6, (0, 1))
    assert one.bits is not None
    assert other.bits is not None
    d = one.bits.correct.mean(axis=0) - other.bits.correct.mean(axis=0)
    variance = 0.0
    for q, part in zip(SHARES, np.split(d, np.cumsum(SIZES)[:-1]), strict=True):
        n = len(part)
        second, first = (sum(x**2 for x in part) + 1) / (n + 2), sum(part) / (n + 2)
        variance += q**2 * (second - first**2) / (n + 2)
    found = difference(one, other, SHARES)
    error = 100 * math.sqrt(variance)
    assert found.over == IMAGES
    expected = accuracy(one, SHARES).mean - accuracy(other, SHARES).mean
    assert found.mean == pytest.approx(expected)
    assert found.half_width == pytest.approx(stats.norm.ppf(0.975) * error)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(expected) / error))


def test_without_the_images_the_variances_add() -> None:
    one, other = row(5, (0,)), row(6, (0,), bits=False)
    found = difference(one, other, SHARES)
    parts = [accuracy(r, SHARES).half_width or 0.0 for r in (one, other)]
    assert (found.over, found.half_width) == (IMAGES_APART, pytest.approx(math.hypot(*parts)))
    blind = FixedRow(other.row, other.seeds, other.recalls, None)
    found = difference(one, blind, SHARES)
    assert (found.half_width, found.p) == (None, None)
    assert accuracy(blind, SHARES).half_width is None


def test_rows_of_records(tmp_path: Path) -> None:
    """Those that do not adapt, with the images and which of them are right."""
    results = Results(tmp_path, images=4)
    results.add("ce", 0, flat(50), label="ce", recall=lambda c, s: 50.0)
    results.add("ce", 0, flat(60), strategy="em")
    results.add("ride", 0, flat(75), strategy="oracle", oracle=True)
    results.add("sade", 0, flat(75), recall=lambda c, s: 75.0)
    (section,), _ = build_sections(read_records(tmp_path))
    found = fixed_rows(section)
    assert [one.row.label for one in found] == ["ce", "sade"]
    assert [one.recalls.tolist() for one in found] == [[[0.5] * 4], [[0.75] * 4]]
    for one, right in zip(found, (2, 3), strict=True):
        assert one.sizes is not None
        assert one.sizes.tolist() == [4.0] * 4
        assert one.bits is not None
        assert base64.b64decode(one.row.results["uniform"][0].correct)
        assert one.bits.correct.reshape(4, 4).sum(axis=1).tolist() == [right] * 4
