"""Stratified bootstrap over test images, from the correct/wrong bits of draw 0.

It covers which images of each class draw 0 happens to hold, that is both the finite test set and
the draw from it, and nothing else: not the training, which is what intervals over seeds cover. The
class counts are those of the distribution and do not vary. ``components`` covers both.

Where the bootstrap has no width, since the images of each class are alike, or fewer than five images are
right or wrong, resamples hardly vary and say nothing of other images: there Wilson's interval counts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import LEVEL, Summary
from ltbench.report.statistics.strata import rows_bits

RESAMPLES = 1000
FEW = 5
"""Images right or wrong below which a bootstrap, like a normal approximation, is too narrow."""
_CHUNK = 250  # resamples at once: bounds the memory of a test set of 10,000 images to 10 MB


@lru_cache(maxsize=16)
def _resampled(sizes: tuple[int, ...], resamples: int) -> NDArray[np.uint8]:
    """How often each image occurs in each resample, ``(B, N)``; the same for every method."""
    rng = np.random.default_rng(0)
    parts = []
    for n in sizes:
        chosen = rng.integers(n, size=(resamples, n), dtype=np.uint32).astype(np.int64)
        chosen += n * np.arange(resamples)[:, None]
        times = np.bincount(chosen.ravel(), minlength=resamples * n).reshape(resamples, n)
        parts.append(times.astype(np.uint8))
    return np.concatenate(parts, axis=1)


def resampled_hits(
    hits: NDArray[np.int64], sizes: tuple[int, ...], resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Sums of the counts ``hits`` ``(N, R)`` over resampled images, ``(B, R)``, in whole numbers.

    Exact: single precision, which is fast, holds whole numbers up to 2^24.

    Images are drawn with replacement inside each class, as often as the class has images, and the
    same resamples serve every column, so that differences of columns are paired.
    """
    times = _resampled(sizes, resamples)
    largest = len(hits) * int(hits.max(initial=0))
    exact: type[np.float32 | np.float64] = np.float32 if largest < 2**24 else np.float64
    parts = [
        times[start : start + _CHUNK].astype(exact) @ hits.astype(exact)
        for start in range(0, resamples, _CHUNK)
    ]
    sums: NDArray[np.float64] = np.concatenate(parts).astype(np.float64)
    return sums


def wilson(right: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a proportion: ``right`` of ``n`` images, both ends in [0, 1].

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = right / n, z the normal quantile.
    Never without width, also where all are right or none. Source: Wilson 1927, Journal of the American
    Statistical Association 22(158).
    """
    from scipy import special

    z2 = float(special.ndtri(0.5 + level / 2.0)) ** 2
    p = right / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return max(centre - half, 0.0), min(centre + half, 1.0)


@dataclass(frozen=True)
class ImageIntervals:
    """cells: by label of the row; stratified: whether the classes of all images are known; wilson:
    whether a cell has Wilson's interval."""

    cells: Mapping[str, Summary]
    stratified: bool
    wilson: bool


def image_intervals(rows: Sequence[Row], name: str) -> ImageIntervals:
    """Per row: accuracy (%) on draw 0 of ``name`` and half the length of its interval.

    The interval is the bootstrap's, or :func:`wilson`'s where that has no width or fewer than
    :data:`FEW` images are right or wrong.

    Seeds meet the same images: an image counts with its mean over the seeds. Counted in whole hits
    and divided once, so that equal fractions print alike.
    """
    grouped: dict[tuple[int, ...], list[tuple[str, NDArray[np.int64], int]]] = defaultdict(list)
    for found in rows_bits(rows, name):
        hits = found.correct.sum(axis=0, dtype=np.int64)
        grouped[found.sizes].append((found.row.label, hits, len(found.seeds)))
    intervals: dict[str, Summary] = {}
    by_wilson = False
    for sizes, found_rows in grouped.items():
        hits = np.stack([own for _, own, _ in found_rows], axis=1)
        tail = 50.0 * (1.0 - LEVEL)
        low, high = np.percentile(resampled_hits(hits, sizes), [tail, 100.0 - tail], axis=0)
        for i, (label, own, n) in enumerate(found_rows):
            most = n * len(own)
            half = 50.0 * float(high[i] - low[i]) / most
            right = int(own.sum()) / n
            if half == 0 or min(right, len(own) - right) < FEW:
                least, greatest = wilson(right, len(own))
                half, by_wilson = 50.0 * (greatest - least), True
            intervals[label] = Summary(100 * int(own.sum()) / most, half, n)
    return ImageIntervals(intervals, all(len(sizes) > 1 for sizes in grouped), by_wilson)
