"""Variance components of a balanced two-way layout without replication."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAMPLES = 20_000


@dataclass(frozen=True)
class Component:
    """A standard deviation with its 95 % interval, in the unit of the values; 0: below 0 estimated."""

    sd: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.sd:.2f} ({self.low:.2f}–{self.high:.2f})"

    def to_json(self) -> dict[str, float]:
        return {"sd": self.sd, "low_95": self.low, "high_95": self.high}


@dataclass(frozen=True)
class TwoWay:
    """y_ab = mu + row_a + column_b + rest_ab, all random. ``within_rows`` is the sd of one value in a
    given row: columns and rest together."""

    rows: Component
    columns: Component
    rest: Component
    within_rows: Component


def two_way(y: NDArray[np.float64]) -> TwoWay:
    """Method of moments from the mean squares (Searle, Casella, McCulloch 1992, section 4.3):
    s2_rows = (MS_rows - MS_rest) / B, s2_columns = (MS_columns - MS_rest) / A, s2_rest = MS_rest.

    y: ``(A, B)``, A and B at least 2. Intervals are generalised confidence intervals (Weerahandi
    1993): each mean square is replaced by MS df / chi2(df), drawn 20,000 times from a fixed seed;
    negative values count as 0.
    """
    a, b = y.shape
    squares, freedom = mean_squares(y)
    rng = np.random.default_rng(0)
    draws = [ms * df / rng.chisquare(df, _SAMPLES) for ms, df in zip(squares, freedom, strict=True)]

    def component(point: float, drawn: NDArray[np.float64]) -> Component:
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Component(*(float(np.sqrt(max(v, 0.0))) for v in (point, low, high)))

    rows, columns, rest = squares
    d_rows, d_columns, d_rest = draws
    return TwoWay(
        rows=component((rows - rest) / b, (d_rows - d_rest) / b),
        columns=component((columns - rest) / a, (d_columns - d_rest) / a),
        rest=component(rest, d_rest),
        within_rows=component(
            max((columns - rest) / a, 0.0) + rest,
            np.maximum((d_columns - d_rest) / a, 0.0) + d_rest,
        ),
    )


def mean_squares(y: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Mean squares of rows, columns and rest of ``(A, B)`` values, and their degrees of freedom."""
    a, b = y.shape
    if a < 2 or b < 2:
        raise ValueError(f"{a} x {b} values: a two-way layout needs at least 2 x 2")
    grand, row, column = y.mean(), y.mean(axis=1), y.mean(axis=0)
    rest = y - row[:, None] - column[None, :] + grand
    freedom = (a - 1, b - 1, (a - 1) * (b - 1))
    sums = (
        b * float(((row - grand) ** 2).sum()),
        a * float(((column - grand) ** 2).sum()),
        float((rest**2).sum()),
    )
    return tuple(s / df for s, df in zip(sums, freedom, strict=True)), freedom


def one_way(values: NDArray[np.float64]) -> Component:
    """The sample standard deviation of ``(n,)`` values with its chi-squared interval."""
    from scipy import stats

    n = len(values)
    square = float(values.var(ddof=1)) * (n - 1)
    bounds = (square / stats.chi2.ppf(q, n - 1) for q in (0.975, 0.025))
    sd, low, high = (float(np.sqrt(v)) for v in (square / (n - 1), *bounds))
    return Component(sd, low, high)
