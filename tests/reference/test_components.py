"""Variance components of seeds crossed with images: slow transcription, known components, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ltbench.report.statistics.components import components

SIZES = (40, 20, 8, 2)
MEANS = np.array([80.0, 60.0, 40.0, 20.0])
Values = NDArray[np.float64]


def slow(values: Values, sizes: tuple[int, ...]) -> tuple[float, float, float]:
    """V_seeds, V_images, V_rest as the module's equations say them, one number at a time."""
    seeds, total = values.shape
    means = [sum(values[s]) / total for s in range(seeds)]
    grand = sum(means) / seeds
    of_seeds = sum((m - grand) ** 2 for m in means) / (seeds - 1) / seeds
    of_images = of_rest = 0.0
    start = 0
    for n in sizes:
        members = range(start, start + n)
        start += n
        image = {i: sum(values[s, i] for s in range(seeds)) / seeds for i in members}
        cell = [sum(values[s, i] for i in members) / n for s in range(seeds)]
        centre = sum(cell) / seeds
        within = sum((image[i] - centre) ** 2 for i in members) / (n - 1)
        left = sum(
            (values[s, i] - image[i] - cell[s] + centre) ** 2 for s in range(seeds) for i in members
        )
        of_images += (n / total) ** 2 * within / n
        of_rest += (n / total) ** 2 * left / ((seeds - 1) * (n - 1)) / (seeds * n)
    return of_seeds, of_images, of_rest


def simulate(
    rng: np.random.Generator, seeds: int, sd: tuple[float, float, float], sizes: tuple[int, ...]
) -> Values:
    """X_si = mu_c + A_sc + B_i + E_si with standard deviations ``sd`` of A, B and E."""
    a, b, e = sd
    classes, n = np.repeat(np.arange(len(sizes)), sizes), sum(sizes)
    return np.asarray(
        MEANS[classes]
        + rng.normal(0, a, (seeds, len(sizes)))[:, classes]
        + rng.normal(0, b, n)
        + rng.normal(0, e, (seeds, n))
    )


@pytest.mark.parametrize("seeds", [3, 5])
def test_parts_equal_a_slow_transcription(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    bits = 100.0 * (rng.random((seeds, sum(SIZES))) < np.repeat(MEANS, SIZES) / 100)
    for values in (simulate(rng, seeds, (3, 30, 20), SIZES), bits):
        found = components(values, SIZES)
        assert found is not None
        assert (found.seeds, found.images, found.rest) == pytest.approx(slow(values, SIZES))
        assert found.mean == pytest.approx(values.mean())
        half = stats.t.ppf(0.975, found.freedom) * math.sqrt(found.variance)
        assert found.half_width == pytest.approx(half)
        p = 2 * stats.t.sf(found.mean / math.sqrt(found.variance), found.freedom)
        assert found.p == pytest.approx(p)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("sd", [(3.0, 30.0, 20.0), (10.0, 30.0, 20.0), (8.0, 5.0, 30.0)])
def test_known_components_come_back_and_intervals_cover(
    seeds: int, sd: tuple[float, float, float]
) -> None:
    """The mean over 1,500 worlds of each part, and how often the interval holds the truth."""
    rng = np.random.default_rng(1)
    found = [components(simulate(rng, seeds, sd, SIZES), SIZES) for _ in range(1500)]
    known = [c for c in found if c is not None]
    n = sum(SIZES)
    a, b, e = (x**2 for x in sd)
    shared = a * sum((m / n) ** 2 for m in SIZES) / seeds
    expected = (shared + e / seeds / n, (b + e / seeds) / n, e / seeds / n)
    parts = np.mean([(c.seeds, c.images, c.rest) for c in known], axis=0)
    assert parts == pytest.approx(expected, rel=0.08)
    truth = float(np.repeat(MEANS, SIZES).mean())
    spread = np.mean([(c.mean - truth) ** 2 for c in known])
    assert spread == pytest.approx(shared + b / n + e / seeds / n, rel=0.12)
    covered = np.mean([abs(c.mean - truth) <= c.half_width for c in known])
    assert 0.925 < covered < 0.975
    for part in ("seeds", "images"):  # either variance alone is not enough
        if getattr(known[0], part) < 0.7 * known[0].variance:
            alone = [abs(c.mean - truth) <= 1.96 * math.sqrt(getattr(c, part)) for c in known]
            assert np.mean(alone) < covered


def test_the_variance_of_a_difference_of_methods_forgets_what_they_share() -> None:
    """Two methods on the same seeds and images: only what they do not share is left."""
    rng = np.random.default_rng(2)
    common = simulate(rng, 5, (10.0, 30.0, 0.0), SIZES)
    first, second = (common + rng.normal(0, 5, common.shape) for _ in range(2))
    both, apart = components(first - second, SIZES), components(first, SIZES)
    assert both is not None
    assert apart is not None
    assert both.variance < 0.2 * apart.variance


def test_resampling_seeds_and_images_counts_the_rest_three_times() -> None:
    """Owen's result, the reason for components instead of a bootstrap over both."""
    rng = np.random.default_rng(3)
    seeds, images = 30, 200
    ratios = []
    for _ in range(20):
        values = rng.normal(size=(seeds, images))
        means = [
            values[
                np.ix_(rng.integers(seeds, size=seeds), rng.integers(images, size=images))
            ].mean()
            for _ in range(300)
        ]
        ratios.append(np.var(means) * seeds * images)
    assert 2.6 < np.mean(ratios) < 3.4


def test_too_few_seeds_no_images_left_and_no_variance() -> None:
    rng = np.random.default_rng(4)
    assert components(rng.normal(size=(2, 70)), SIZES) is None
    assert components(rng.normal(size=(3, 1)), (1,)) is None
    same = components(np.full((3, 70), 7.0), SIZES)
    assert same is not None
    assert (same.mean, same.half_width, same.p) == (7.0, 0.0, 0.0)
    none = components(np.zeros((3, 70)), SIZES)
    assert none is not None
    assert none.p == 1.0


@pytest.mark.parametrize(
    ("sizes", "joined", "order"),
    [
        ((3, 1, 2, 1), (3, 4), [0, 1, 2, 3, 4, 5, 6]),
        ((1, 2, 3), (3, 3), [3, 4, 5, 0, 1, 2]),
        ((1, 1, 1), (3,), [0, 1, 2]),
    ],
)
def test_classes_of_one_image_join_the_smallest_of_the_others(
    sizes: tuple[int, ...], joined: tuple[int, ...], order: list[int]
) -> None:
    values = np.random.default_rng(5).normal(size=(4, sum(sizes)))
    assert components(values, sizes) == components(values[:, order], joined)
