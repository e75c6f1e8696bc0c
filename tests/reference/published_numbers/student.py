"""Student's t from its definition by the incomplete beta function; means, intervals, tests, Holm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

Cell = tuple[float, float | None, int | None]
"""Mean, half-width of its interval (None: there is none) and the seeds behind it."""


def beta_fraction(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b), by its continued fraction from the inside out."""
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_fraction(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front += a * math.log(x) + b * math.log(1 - x) if x > 0 else -math.inf
    value = 1.0
    for k in range(200, 0, -1):
        m = k // 2
        if k % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1.0 + d / value
    return math.exp(front) / (a * value)


def two_sided(t: float, freedom: float) -> float:
    """P(abs(T) > t)."""
    return beta_fraction(freedom / 2, 0.5, freedom / (freedom + t * t))


@cache
def quantile(freedom: float) -> float:
    """t with P(abs(T) > t) = 0.05, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > 0.05 else (low, middle)
    return (low + high) / 2


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation."""
    centre = mean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / (len(values) - 1))


def cell(values: Sequence[float]) -> Cell | None:
    """Mean over seeds with its 95 % interval, which needs three; None without a seed."""
    n = len(values)
    if n == 0:
        return None
    wide = n >= 3 and all(math.isfinite(v) for v in values)
    half = quantile(n - 1) * deviation(values) / math.sqrt(n) if wide else None
    return mean(values), half, n


def p_value(differences: Sequence[float]) -> float | None:
    """Of the paired t test; None below three seeds."""
    n = len(differences)
    if n < 3:
        return None
    sd = deviation(differences)
    if sd < 1e-12:
        return 1.0 if abs(mean(differences)) < 1e-12 else 0.0
    return two_sided(abs(mean(differences)) * math.sqrt(n) / sd, n - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted: of each the largest of (m - i) p over those that are not larger."""
    ordered = sorted(p_values)
    steps = [min(1.0, (len(ordered) - i) * p) for i, p in enumerate(ordered)]
    return [max(steps[: ordered.index(p) + 1]) for p in p_values]
