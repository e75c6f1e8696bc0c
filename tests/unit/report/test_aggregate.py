"""Interquartile mean, profiles and critical difference; bootstrap over images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ltbench.report import images
from ltbench.report.aggregate import (
    critical_difference,
    interquartile_mean,
    iqm,
    mean_ranks,
    profile,
)
from ltbench.report.bits import correct_bits
from ltbench.report.images import image_intervals, resampled_hits
from ltbench.report.records import read_records
from ltbench.report.rows import Row
from ltbench.report.schema import Training
from ltbench.report.sections import build_sections
from ltbench.report.strata import RowBits

from .builder import Results, flat


def test_interquartile_mean_is_scipys_trimmed_mean() -> None:
    values = np.random.default_rng(0).normal(size=(3, 21))
    expected = [stats.trim_mean(row, 0.25) for row in values]
    assert interquartile_mean(values) == pytest.approx(expected)


def test_iqm_interval_holds_the_value_and_needs_three_seeds() -> None:
    scores = [np.array([50.0, 51.0, 52.0]), np.array([70.0, 71.0, 75.0])]
    found = iqm(scores, resamples=2000)
    assert found.low is not None
    assert found.high is not None
    assert 50.0 <= found.low < found.value < found.high <= 75.0
    assert iqm([np.array([50.0, 51.0])]).low is None


def test_profile_weights_settings_alike() -> None:
    scores = [np.array([10.0]), np.array([30.0, 50.0, 50.0, 50.0])]
    assert profile(scores, np.array([0.0, 20.0, 40.0, 60.0])) == pytest.approx([1, 0.5, 0.375, 0])


@pytest.mark.parametrize(("k", "n", "expected"), [(6, 4, 3.77), (6, 8, 2.67), (8, 12, 3.03)])
def test_critical_difference_of_the_literature(k: int, n: int, expected: float) -> None:
    assert critical_difference(k, n) == pytest.approx(expected, abs=5e-3)


def test_ranks_share_ties() -> None:
    assert mean_ranks(np.array([[3.0, 1.0, 1.0], [2.0, 5.0, 1.0]])).tolist() == [1.5, 1.75, 2.75]


def test_ranks_of_equal_fractions_are_shared() -> None:
    assert mean_ranks(np.array([[100 * 0.58, 58.0, 1.0]])).tolist() == [1.5, 1.5, 3.0]


def test_bootstrap_spread_is_the_stratified_standard_error() -> None:
    """Closed form: sum over classes of n_c p_c (1 - p_c), over N squared."""
    sizes, right = (50, 30, 20), (40, 15, 4)
    bits = [k < r for n, r in zip(sizes, right, strict=True) for k in range(n)]
    values = np.array(bits, dtype=np.int64)[:, None]
    means = resampled_hits(values, sizes, resamples=20_000)[:, 0] / 100
    variance = sum(r * (n - r) / n for n, r in zip(sizes, right, strict=True)) / 100**2
    assert means.mean() == pytest.approx(0.59, abs=2e-3)
    assert means.std() == pytest.approx(variance**0.5, rel=0.03)
    whole = resampled_hits(values, (100,), resamples=20_000)[:, 0] / 100
    assert whole.std() == pytest.approx((0.59 * 0.41 / 100) ** 0.5, rel=0.03)
    assert means.std() < whole.std()  # that is what stratifying is for


def test_image_intervals_read_the_stored_bits(tmp_path: Path) -> None:
    results = Results(tmp_path, images=40)
    for seed in range(3):
        results.add("ce", seed, flat(50 + seed))
    (section,) = build_sections(read_records(tmp_path))[0]
    intervals, stratified = image_intervals(section.rows, "forward10")
    cell = intervals["ce"]
    (found,) = [d for d in section.rows[0].evaluations[0].distributions if d.name == "forward10"]
    bits = correct_bits(found)
    assert bits is not None
    assert found.counts == (40, 18, 8, 4)
    assert bits.tolist() == [k < round(n * 0.5) for n in found.counts for k in range(n)]
    assert stratified
    assert cell.n == 3
    assert cell.half_width is not None
    assert 5 < cell.half_width < 16  # about 1.96 * 50 / sqrt(70)


@pytest.mark.parametrize("text", ["", "%%%", "AAAA"])
def test_bits_that_do_not_fit_are_no_bits(tmp_path: Path, text: str) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    (section,) = build_sections(read_records(tmp_path))[0]
    found = section.rows[0].evaluations[0].distributions[0]
    assert correct_bits(replace(found, correct=text)) is None


def test_accuracies_on_test_images_are_hits_over_images(tmp_path: Path) -> None:
    """400 images, 7 hits: 1.75 per cent exactly, in every number of seeds; no single precision."""
    bits = np.zeros((7, 400), dtype=bool)
    for seed in range(7):
        bits[seed, seed * 7 : seed * 7 + 7] = True  # other images in every seed
    row = Row("ce", "ce", Training("ce", "{}", "1", ""))
    for seeds in range(1, 8):
        found = RowBits(row, tuple(range(seeds)), bits[:seeds], (400,))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(images, "rows_bits", lambda rows, name, found=found: [found])
            cell = image_intervals([row], "uniform")[0]["ce"]
        assert cell.mean == 1.75
        assert cell.half_width is not None
        resolution = cell.half_width * seeds * 400 * 1000 / 50  # percentiles of 1000 resamples
        assert resolution == pytest.approx(round(resolution), abs=1e-6)


def test_resampled_hits_are_whole_numbers_beyond_single_precision() -> None:
    hits = np.full((3, 1), 2**23 + 1, dtype=np.int64)
    assert (resampled_hits(hits, (3,), resamples=50) == 3 * (2**23 + 1)).all()
