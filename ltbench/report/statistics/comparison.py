"""Paired differences over seeds, Holm's correction, and what a table can tell apart.

STATISTICS.md, section 4: seeds are paired (same seed, same images), intervals are t intervals,
and a row is bold unless it can be told from the best of its column.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ltbench.report.rows.summary import SMALLEST_N, TIE, half_width, mean_of, tied

ALPHA = 0.05
POWER = 0.8

PerSeed = Mapping[int, float | None]


@dataclass(frozen=True)
class Difference:
    """Mean of the paired differences of ``n`` seeds; without interval and p below three."""

    mean: float
    half_width: float | None
    p: float | None
    n: int
    better: int
    """Seeds in which the first was higher."""
    equal: int

    @property
    def probability(self) -> float:
        """Share of the seeds in which the first was higher; ties count half."""
        return (self.better + 0.5 * self.equal) / self.n


def paired(first: PerSeed, second: PerSeed) -> Difference | None:
    """``first - second`` over the seeds that both have; ``None`` where they share none.

    A seed in which either is infinite is not shared: infinities have no difference.
    """
    differences = [
        a - b
        for seed, a in sorted(first.items())
        if a is not None and (b := second.get(seed)) is not None and math.isfinite(a - b)
    ]
    mean = mean_of(differences)
    if mean is None:
        return None
    return Difference(
        mean=mean,
        half_width=half_width(differences),
        p=_p_value(differences),
        n=len(differences),
        better=sum(d > TIE for d in differences),
        equal=sum(abs(d) <= TIE for d in differences),
    )


def _p_value(differences: Sequence[float]) -> float | None:
    """Two-sided, of the one-sample t test that the mean difference is zero."""
    n = len(differences)
    if n < SMALLEST_N:
        return None
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1)
    if variance <= 1e-24 * max(1.0, mean * mean):  # rounding of equal differences
        return 1.0 if abs(mean) <= 1e-12 else 0.0
    from scipy import special

    # Twice the upper tail of Student's t; scipy.stats takes a second to import.
    return 2.0 * float(special.stdtr(n - 1, -abs(mean) / math.sqrt(variance / n)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values: the i-th smallest of m times (m - i), made monotone, at most one.

    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m = len(p_values)
    adjusted = [0.0] * m
    highest = 0.0
    for place, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        highest = max(highest, (m - place) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted


def best_or_tied(
    columns: Sequence[Sequence[PerSeed]], lower_is_better: Sequence[bool]
) -> list[set[int]]:
    """Per column the best row and all that can not be told from it; empty where nobody can tell.

    columns: for every column the values of each row per seed. A column is one question: its
    comparisons with its best row form one family. A column is left without a mark where its best
    row, or every other, has less than three seeds; a row with less than three beside a marked best
    one can not be told from it.
    """
    pairs = zip(columns, lower_is_better, strict=True)
    return [_marked(rows, lower) for rows, lower in pairs]


def _marked(rows: Sequence[PerSeed], lower: bool) -> set[int]:
    def p_value(index: int, leader: int) -> float | None:
        found = paired(rows[index], rows[leader])
        return None if found is None else found.p

    return tied_with_best([mean_of(values.values()) for values in rows], p_value, lower=lower)


def tied_with_best(
    means: Sequence[float | None],
    p_value: Callable[[int, int], float | None],
    *,
    lower: bool = False,
) -> set[int]:
    """The best of ``means`` and all that Holm-corrected tests against it cannot tell from it.

    Equal means (:func:`~ltbench.report.rows.summary.tied`) lead jointly, and a row is told apart only
    where it is from each of the leaders that it can be tested against. An infinite mean is never
    best nor tied.
    p_value: of the difference of a row and the best; None where it cannot be tested, which is a tie.
    Empty where nothing could be tested.
    """
    present = {i: mean for i, mean in enumerate(means) if mean is not None and math.isfinite(mean)}
    if not present:
        return set()
    best = (min if lower else max)(present.values())
    leaders = [index for index, mean in present.items() if tied(mean, best)]
    found = {index: _against(index, leaders, p_value) for index in present if index != leaders[0]}
    tested = [(index, p) for index, p in found.items() if p is not None]
    adjusted = holm([p for _, p in tested])
    apart = {index for (index, _), p in zip(tested, adjusted, strict=True) if p < ALPHA}
    return {*leaders, *found} - (apart - {*leaders}) if tested else set()


def _against(
    index: int, leaders: Sequence[int], p_value: Callable[[int, int], float | None]
) -> float | None:
    """The largest p of ``index`` against the joint leaders; a leader's own, where testable, is 1."""
    found = [p for other in leaders if other != index and (p := p_value(index, other)) is not None]
    if not found:
        return None
    return 1.0 if index in leaders else max(found)


def pooled_sd(rows: Sequence[PerSeed]) -> float | None:
    """Root of the mean variance over seeds, weighted by degrees of freedom."""
    squares, freedom = 0.0, 0
    for values in rows:
        present = [v for v in values.values() if v is not None and math.isfinite(v)]
        mean = mean_of(present)
        if mean is not None and len(present) > 1:
            squares += math.fsum((value - mean) ** 2 for value in present)
            freedom += len(present) - 1
    return math.sqrt(squares / freedom) if freedom else None


@lru_cache(maxsize=64)
def detectable_in_sd(n: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest difference, in units of the seed sd, that a paired t test finds with ``power``.

    Two methods with independent seed noise of equal sd: the difference has sd ``sqrt(2)``. Solves
    ``P(T > t) = power`` for the non-central t of ``n - 1`` degrees of freedom.
    """
    from scipy import special

    freedom = n - 1
    critical = special.stdtrit(freedom, 1.0 - alpha / 2.0)
    # The other tail has a chance below 1e-4 here and is left out.
    shift = float(special.nctdtrinc(freedom, 1.0 - power, critical))
    return shift * math.sqrt(2.0 / n)
