"""Means over draws, then over seeds; intervals over seeds (STATISTICS.md, section 4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.95
SMALLEST_N = 3  # below, an interval says more about luck than about the method
TIE = 1e-9
"""Means nearer than this are equal: equal fractions differ by rounding, about 1e-13 of 100 per cent,
and one image more or less in a million moves a mean by 1e-4."""


@dataclass(frozen=True)
class Summary:
    """Mean over ``n`` seeds and the half-width of its interval (``None`` below three seeds).

    An infinite mean has no interval. ``n`` 0: one number, not a mean over seeds.
    """

    mean: float
    half_width: float | None
    n: int
    best: bool = False
    """The best of its column, or not to be told from it."""
    highest: bool = False
    """The highest mean of its group, where a table has too few seeds for a best."""


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of what is there, infinite where a part is; ``None`` where nothing is there."""
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


def tied(one: float, other: float) -> bool:
    """Whether two means are equal up to rounding (:data:`TIE`)."""
    return one == other or abs(one - other) <= TIE


@lru_cache(maxsize=64)
def t_quantile(n: float, level: float = LEVEL) -> float:
    """Two-sided quantile of Student's t with ``n - 1`` degrees of freedom."""
    # Not scipy.stats, which takes a second to import.
    from scipy import special

    return float(special.stdtrit(n - 1, 0.5 + level / 2.0))


def half_width(values: Sequence[float], level: float = LEVEL) -> float | None:
    """``t * sd / sqrt(n)`` with the sample standard deviation; ``None`` below three values.

    ``None`` also where a value is infinite: there is no spread around an infinite mean.
    """
    n = len(values)
    if n < SMALLEST_N or not all(math.isfinite(value) for value in values):
        return None
    mean = math.fsum(values) / n
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return t_quantile(n, level) * math.sqrt(variance / n)


def summarise(values: Iterable[float | None]) -> Summary | None:
    """One number per seed in, one cell of a table out; ``None`` where no seed has a number."""
    present = [value for value in values if value is not None]
    mean = mean_of(present)
    if mean is None:
        return None
    return Summary(mean, half_width(present), len(present))
