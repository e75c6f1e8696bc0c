"""The drifting order against rejection sampling and against what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ltbench.shift.stream import drifting_times

RANK = np.array([2, 0, 3, 1])  # class 1 is the head, class 2 the tail
RATIO = 20.0


def slow_times(place: float, ratio: float, n: int, seed: int) -> list[float]:
    """Rejection sampling from a density proportional to ratio ** ((2 t - 1) (place - 1/2))."""
    rng = np.random.default_rng(seed)
    highest = ratio ** abs(place - 0.5)
    found: list[float] = []
    while len(found) < n:
        t, height = rng.random(), rng.random() * highest
        if height < ratio ** ((2 * t - 1) * (place - 0.5)):
            found.append(t)
    return found


@pytest.mark.parametrize("label", range(4))
def test_times_follow_the_stated_density(label: int) -> None:
    """Two samples of 20,000: their distribution functions differ by less than chance allows."""
    n = 20_000
    uniform = np.random.default_rng(1).random(n)
    fast = np.sort(drifting_times(np.full(n, label), RANK, RATIO, uniform))
    slow = np.sort(slow_times(RANK[label] / 3, RATIO, n, seed=2))
    gap = np.abs(np.arange(1, n + 1) / n - np.searchsorted(fast, slow) / n).max()
    assert gap < 1.95 * math.sqrt(2 / n)  # Kolmogorov-Smirnov at 0.1 %
    assert fast.min() >= 0
    assert fast.max() <= 1


def test_the_prior_moves_from_forward_over_equal_to_backward() -> None:
    """Head over tail near the start, the middle and the end of a large stream of equal counts."""
    n = 400_000
    labels = np.arange(n) % 4
    times = drifting_times(labels, RANK, RATIO, np.random.default_rng(3).random(n))
    width = 0.01

    def head_over_tail(t: float) -> float:
        inside = np.abs(times - t) < width / 2
        return float((labels[inside] == 1).sum() / (labels[inside] == 2).sum())

    # ratio ** (1 - 2 t): exact at the middle of each window
    for t in (0.005, 0.25, 0.5, 0.75, 0.995):
        assert head_over_tail(t) == pytest.approx(RATIO ** (1 - 2 * t), rel=0.12)


def test_more_of_a_class_means_more_of_it_throughout() -> None:
    labels = np.array([1] * 3000 + [2] * 1000)
    uniform = np.random.default_rng(4).random(len(labels))
    times = drifting_times(labels, RANK, RATIO, uniform)
    early, late = times < 0.5, times >= 0.5
    assert (labels[early] == 1).sum() > 3 * (labels[early] == 2).sum()
    assert (labels[late] == 1).sum() < 3 * (labels[late] == 2).sum()


def test_the_middle_class_arrives_evenly() -> None:
    uniform = np.linspace(0, 1, 11)[:-1]
    rank = np.array([0, 1, 2])
    assert drifting_times(np.full(10, 1), rank, 50.0, uniform) == pytest.approx(uniform)
