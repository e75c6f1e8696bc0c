"""Interquartile mean, profiles and critical difference; bootstrap over images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ltbench.report.records.bits import correct_bits, correct_bits_of
from ltbench.report.records.read import read_records
from ltbench.report.records.schema import Training
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import build_sections
from ltbench.report.statistics import images
from ltbench.report.statistics.aggregate import (
    critical_difference,
    iqm,
    mean_ranks,
    profile,
    run_weights,
)
from ltbench.report.statistics.images import image_intervals, resampled_hits
from ltbench.report.statistics.strata import RowBits

from ..builder import Results, flat


@pytest.mark.parametrize("settings", range(1, 10))
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_with_as_many_seeds_everywhere_it_is_scipys_trimmed_mean(settings: int, seeds: int) -> None:
    """As in rliable: ``scipy.stats.trim_mean(matrix, 0.25, axis=None)``."""
    matrix = np.random.default_rng(settings).normal(size=(seeds, settings))
    scores = list(matrix.T)
    assert run_weights(scores).tolist() == [1.0] * matrix.size
    assert iqm(scores, resamples=1).value == pytest.approx(
        stats.trim_mean(matrix, 0.25, axis=None), abs=1e-12
    )


def repeated(scores: Sequence[NDArray[np.float64]]) -> float:
    """Slow transcription: a complete matrix by repetition of runs, trimmed by scipy."""
    runs = math.lcm(*(len(values) for values in scores))
    columns = [[v for v in values for _ in range(runs // len(values))] for values in scores]
    return float(stats.trim_mean(np.array(columns), 0.25, axis=None))


@pytest.mark.parametrize("sizes", [(5, 1), (1,) * 11 + (5,) * 9, (3, 4), (2, 3, 5, 7), (1, 1, 4)])
def test_every_setting_weighs_alike_whatever_its_number_of_seeds(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(sizes))
    scores = [rng.normal(rng.uniform(0, 100), 5.0, size=n) for n in sizes]
    assert iqm(scores, resamples=1).value == pytest.approx(repeated(scores), abs=1e-9)


def test_many_seeds_of_one_data_set_do_not_cut_the_other_away() -> None:
    """Nine distributions of five seeds at 90 and eleven of one seed at 50."""
    scores = [np.full(5, 90.0)] * 9 + [np.array([50.0])] * 11
    assert iqm(scores).value == pytest.approx((6 * 50 + 4 * 90) / 10)  # 55 of 100 parts; cut 25


def test_the_bootstrap_weighs_settings_alike() -> None:
    """Every resample of these is the same, so that its interval is the value itself."""
    scores = [np.full(9, 90.0)] * 2 + [np.full(3, 50.0)] * 2
    found = iqm(scores, resamples=50)
    assert (found.low, found.value, found.high) == (70.0, 70.0, 70.0)


def test_the_bootstrap_is_that_of_a_loop() -> None:
    """By loops over resamples of the repeated matrix, within the noise of 4000 of them."""
    rng = np.random.default_rng(3)
    scores = [rng.normal(mean, 4.0, size=n) for mean, n in ((80, 9), (60, 3), (70, 4), (40, 3))]
    found = iqm(scores, resamples=4000)
    drawn = [repeated([rng.choice(values, len(values)) for values in scores]) for _ in range(4000)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.4)


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
    intervals = image_intervals(section.rows, "forward10")
    cell = intervals.cells["ce"]
    (found,) = [d for d in section.rows[0].evaluations[0].distributions if d.name == "forward10"]
    bits = correct_bits(found)
    assert bits is not None
    assert found.counts == (40, 18, 8, 4)
    assert bits.tolist() == [k < round(n * 0.5) for n in found.counts for k in range(n)]
    assert intervals.stratified
    assert not intervals.wilson
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
            cell = image_intervals([row], "uniform").cells["ce"]
        assert cell.mean == 1.75
        assert cell.half_width is not None
        resolution = cell.half_width * seeds * 400 * 1000 / 50  # percentiles of 1000 resamples
        assert resolution == pytest.approx(round(resolution), abs=1e-6)


def test_resampled_hits_are_whole_numbers_beyond_single_precision() -> None:
    hits = np.full((3, 1), 2**23 + 1, dtype=np.int64)
    assert (resampled_hits(hits, (3,), resamples=50) == 3 * (2**23 + 1)).all()


@pytest.mark.parametrize("sizes", [(70, 70, 70), (70, 66, 70)])
def test_bits_unpacked_at_once_are_those_of_each(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """Of records without any, and with other numbers of images, too."""
    for seed, _ in enumerate(sizes):
        Results(tmp_path, images=40).add("ce", seed, flat(30 + 20 * seed))
    (section,) = build_sections(read_records(tmp_path))[0]
    found = [
        next(d for d in e.distributions if d.name == "forward10")
        for e in section.rows[0].evaluations
    ]
    assert found[0].draws[0].n == 70
    found[1] = replace(found[1], correct="")
    for place, size in enumerate(sizes):
        draw = msgspec.structs.replace(found[place].draws[0], n=size)
        found[place] = replace(found[place], draws=(draw, *found[place].draws[1:]))
    together = correct_bits_of(found)
    alone = [correct_bits(distribution) for distribution in found]
    assert [bits is None for bits in together] == [False, True, False]
    for one, other in zip(together, alone, strict=True):
        assert (one is None and other is None) or np.array_equal(one, other)
    assert correct_bits_of([]) == []
