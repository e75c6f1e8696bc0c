"""Fixed predictors at any mix of classes, exactly, from their recalls; intervals and differences.

A predictor that depends on nothing but the image has at class shares q the accuracy

    acc(q) = sum_c q_c r_c,   r_c the recall of class c,

whatever the training or the test set was. Three seeds or more give t intervals over seeds, as in the
tables; differences are paired where both rows have the same seeds, else Welch's. Fewer give intervals
over test images, given the predictor: classes are strata, so

    Var(acc) = sum_c q_c^2 r'_c (1 - r'_c) / (n_c + 2),   r'_c = (n_c r_c + 1) / (n_c + 2)

with one hit and one miss added to each class, since ten images that are all right do not tell a recall
of 1. Source: Agresti, Caffo 2000, The American Statistician 54(4). Two predictors meet the same images:
with d_i in [-1, 1] the difference of their hits on image i,

    Var = sum_c q_c^2 ((D2_c + 1) / (n_c + 2) - (D_c / (n_c + 2))^2) / (n_c + 2),
    D_c = sum_i d_i, D2_c = sum_i d_i^2,

half an image added to each of the four outcomes. Source: Agresti, Min 2005, Statistics in Medicine 24(5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ltbench.report.records.schema import Distribution
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import LEVEL, SMALLEST_N, half_width, t_quantile
from ltbench.report.statistics.comparison import paired
from ltbench.report.statistics.strata import RowBits, rows_bits

FIXED = "none"
"""The strategy whose prediction for an image depends on nothing but that image."""
SEEDS, SEEDS_APART = "seeds", "seeds, unpaired"
IMAGES, IMAGES_APART = "images", "images, unpaired"
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2.0)

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class FixedRow:
    """A row that does not adapt. recalls: ``(S, C)`` in [0, 1] of each of its ``seeds``, NaN for a class
    without test images; sizes: test images per class ``(C,)``, None where the records do not tell; bits:
    which images are right, where the records tell that."""

    row: Row
    seeds: tuple[int, ...]
    recalls: NDArray[np.float64]
    sizes: NDArray[np.float64] | None
    bits: RowBits | None = None

    def per_seed(self, shares: Shares) -> dict[int, float | None]:
        """Accuracy in per cent of each seed at the ``shares`` ``(C,)`` of the classes."""
        there = shares > 0
        found = 100.0 * self.recalls[:, there] @ shares[there]
        return dict(zip(self.seeds, found.tolist(), strict=True))


@dataclass(frozen=True)
class Estimate:
    """A number in points with half its 95 % interval; ``over`` what that is; p: that it is 0."""

    mean: float
    half_width: float | None
    over: str
    p: float | None = None


def fixed_rows(section: Section) -> list[FixedRow]:
    """The rows of a section whose accuracy at any mix is known."""
    rows = [row for row in section.rows if row.strategy == FIXED and not row.uses_true_prior]
    by_set: dict[str, list[Row]] = {}
    for row in rows:
        name = _set_of(row, section)
        if name:
            by_set.setdefault(name, []).append(row)
    found = []
    for name, members in by_set.items():
        bits = {one.row.label: one for one in rows_bits(members, name)}
        found += [_fixed_row(row, name, bits.get(row.label)) for row in members]
    return sorted(found, key=lambda one: one.row.label)


def _set_of(row: Row, section: Section) -> str:
    """The set with recalls on all test images: as found, whose record has the bits of all of them."""
    kinds = [
        test.name
        for kind in ("natural", "uniform")
        for test in section.test_sets
        if test.kind == kind
    ]
    for name in kinds:
        found = row.results.get(name, {})
        if found and all(d.recalls is not None for d in found.values()):
            return name
    return ""


def _fixed_row(row: Row, name: str, bits: RowBits | None) -> FixedRow:
    found = row.results[name]
    seeds = tuple(sorted(found))
    per_class = [known.per_class for s in seeds if (known := found[s].recalls) is not None]
    recalls = np.array(per_class, dtype=np.float64)  # None becomes NaN
    sizes = {images_per_class(found[s]) for s in seeds}
    one = sizes.pop() if len(sizes) == 1 else None
    counts = None if one is None else np.asarray(one, dtype=np.float64)
    if bits is not None and (counts is None or bits.sizes != tuple(counts[counts > 0].astype(int))):
        bits = None  # of a draw, or of images whose classes are not known
    return FixedRow(row, seeds, recalls / 100.0, counts, bits)


def images_per_class(distribution: Distribution) -> tuple[int, ...] | None:
    """``(C,)`` on which its recalls were measured; None where the record does not tell."""
    return distribution.pool or distribution.counts


def accuracy(fixed: FixedRow, shares: Shares) -> Estimate:
    """Mean over the seeds at ``shares`` ``(C,)``, which sum to 1."""
    values = [value for value in fixed.per_seed(shares).values() if value is not None]
    mean = math.fsum(values) / len(values)
    if len(values) >= SMALLEST_N:
        return Estimate(mean, half_width(values), SEEDS)
    variance = _image_variance(fixed, shares)
    return Estimate(mean, None if variance is None else 100.0 * Z * math.sqrt(variance), IMAGES)


def _image_variance(fixed: FixedRow, shares: Shares) -> float | None:
    if fixed.sizes is None:
        return None
    there = shares > 0
    n, recall = fixed.sizes[there], fixed.recalls.mean(axis=0)[there]
    shrunk = (n * recall + 1.0) / (n + 2.0)
    return float((np.square(shares[there]) * shrunk * (1.0 - shrunk) / (n + 2.0)).sum())


def difference(first: FixedRow, second: FixedRow, shares: Shares) -> Estimate:
    """First minus second: over seeds where both have three, else over the test images."""
    one, other = first.per_seed(shares), second.per_seed(shares)
    if min(len(one), len(other)) >= SMALLEST_N:
        pair = paired(one, other) if one.keys() == other.keys() else None
        if pair is not None:
            return Estimate(pair.mean, pair.half_width, SEEDS, pair.p)
        return _welch(list(one.values()), list(other.values()))
    by_image = _paired_images(first, second, shares)
    if by_image is not None:
        return _normal(*by_image, IMAGES)
    mean = accuracy(first, shares).mean - accuracy(second, shares).mean
    parts = [_image_variance(row, shares) for row in (first, second)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return Estimate(mean, None, IMAGES_APART)
    return _normal(mean, math.fsum(known), IMAGES_APART)


def _welch(first: Sequence[float | None], second: Sequence[float | None]) -> Estimate:
    """Difference of the means of two independent samples of unlike variance, each of three or more."""
    from scipy import special

    samples = [np.array(values, dtype=np.float64) for values in (first, second)]
    mean = float(samples[0].mean() - samples[1].mean())
    parts = [float(values.var(ddof=1)) / len(values) for values in samples]
    variance = math.fsum(parts)
    if variance <= 1e-24 * max(1.0, mean * mean):  # rounding of equal values
        return Estimate(mean, 0.0, SEEDS_APART, 1.0 if abs(mean) <= 1e-12 else 0.0)
    squares = math.fsum(
        part * part / (len(values) - 1) for part, values in zip(parts, samples, strict=True)
    )
    freedom = variance * variance / squares
    error = math.sqrt(variance)
    p = 2.0 * float(special.stdtr(freedom, -abs(mean) / error))
    return Estimate(mean, t_quantile(freedom + 1.0) * error, SEEDS_APART, p)


def _paired_images(first: FixedRow, second: FixedRow, shares: Shares) -> tuple[float, float] | None:
    """Mean in points and variance of a share, an image counting with its mean over the seeds of a row;
    None where the images of both are not known."""
    one, other, sizes = first.bits, second.bits, first.sizes
    if one is None or other is None or sizes is None or one.sizes != other.sizes:
        return None
    if one.seeds != first.seeds or other.seeds != second.seeds:
        return None
    d = one.correct.mean(axis=0) - other.correct.mean(axis=0)
    starts = np.cumsum([0, *one.sizes[:-1]])
    n = np.asarray(one.sizes, dtype=np.float64)
    total, squares = np.add.reduceat(d, starts), np.add.reduceat(np.square(d), starts)
    q = shares[sizes > 0]
    spread = (squares + 1.0) / (n + 2.0) - np.square(total / (n + 2.0))
    mean = 100.0 * float((q * total / n).sum())
    return mean, float((np.square(q) * spread / (n + 2.0)).sum())


def _normal(mean: float, variance: float, over: str) -> Estimate:
    error = 100.0 * math.sqrt(variance)
    p = 2.0 * NormalDist().cdf(-abs(mean) / error) if error else float(mean == 0)
    return Estimate(mean, Z * error, over, p)
