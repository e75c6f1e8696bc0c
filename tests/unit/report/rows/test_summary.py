"""Means over draws and seeds, and t intervals, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from ltbench.report.rows.summary import half_width, mean_of, summarise


def test_half_width_of_five_seeds_is_the_hand_value() -> None:
    values = [48.0, 49.0, 50.0, 51.0, 52.0]  # sd = sqrt(10 / 4)
    expected = 2.7764451052 * math.sqrt(2.5) / math.sqrt(5)  # t table, 4 degrees of freedom
    assert half_width(values) == pytest.approx(expected, rel=1e-9)


def test_half_width_of_three_seeds_is_the_hand_value() -> None:
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.3026527297 / math.sqrt(3), rel=1e-9)


@pytest.mark.parametrize("values", [[50.0], [50.0, 60.0]])
def test_no_interval_below_three_seeds(values: list[float]) -> None:
    summary = summarise(values)
    assert summary is not None
    assert summary.half_width is None
    assert summary.n == len(values)


def test_nothing_measured_is_none_and_gaps_are_not_counted() -> None:
    assert summarise([]) is None
    assert summarise([None, None]) is None
    assert mean_of([None, 4.0, 8.0]) == 6.0
    summary = summarise([None, 4.0, 8.0])
    assert summary is not None
    assert (summary.mean, summary.n) == (6.0, 2)
