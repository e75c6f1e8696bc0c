"""Stratified bootstrap over test images, from the correct/wrong bits of draw 0.

It covers which images of each class draw 0 happens to hold, that is both the finite test set and
the draw from it, and nothing else: not the training, which is what intervals over seeds cover. The
class counts are those of the distribution and do not vary. ``components`` covers both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import LEVEL, Summary
from ltbench.report.statistics.strata import rows_bits

RESAMPLES = 1000
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


def image_intervals(rows: Sequence[Row], name: str) -> tuple[dict[str, Summary], bool]:
    """Per row: accuracy (%) on draw 0 of ``name`` and half its bootstrap interval; and if stratified.

    Seeds meet the same images: an image counts with its mean over the seeds. Counted in whole hits
    and divided once, so that equal fractions print alike.
    """
    grouped: dict[tuple[int, ...], list[tuple[str, NDArray[np.int64], int]]] = defaultdict(list)
    for found in rows_bits(rows, name):
        hits = found.correct.sum(axis=0, dtype=np.int64)
        grouped[found.sizes].append((found.row.label, hits, len(found.seeds)))
    intervals: dict[str, Summary] = {}
    for sizes, found_rows in grouped.items():
        hits = np.stack([own for _, own, _ in found_rows], axis=1)
        tail = 50.0 * (1.0 - LEVEL)
        low, high = np.percentile(resampled_hits(hits, sizes), [tail, 100.0 - tail], axis=0)
        for i, (label, own, n) in enumerate(found_rows):
            most = n * len(own)
            half = 50.0 * float(high[i] - low[i]) / most
            intervals[label] = Summary(100 * int(own.sum()) / most, half, n)
    return intervals, all(len(sizes) > 1 for sizes in grouped)
