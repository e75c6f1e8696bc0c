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

from ltbench.report.rows import Row
from ltbench.report.statistics import LEVEL, Summary
from ltbench.report.strata import rows_bits

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


def resampled_means(
    values: NDArray[np.float32], sizes: tuple[int, ...], resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Means of ``values`` ``(N, R)`` over resampled images, ``(B, R)``.

    Images are drawn with replacement inside each class, as often as the class has images, and the
    same resamples serve every column, so that differences of columns are paired.
    """
    times = _resampled(sizes, resamples)
    parts = [
        times[start : start + _CHUNK].astype(np.float32) @ values
        for start in range(0, resamples, _CHUNK)
    ]
    means: NDArray[np.float64] = np.concatenate(parts).astype(np.float64) / len(values)
    return means


def image_intervals(rows: Sequence[Row], name: str) -> tuple[dict[str, Summary], bool]:
    """Per row: accuracy (%) on draw 0 of ``name`` and half its bootstrap interval; and if stratified.

    Seeds meet the same images: an image counts with its mean over the seeds.
    """
    grouped: dict[tuple[int, ...], list[tuple[str, NDArray[np.float32], int]]] = defaultdict(list)
    for found in rows_bits(rows, name):
        mean = found.correct.mean(axis=0, dtype=np.float32)
        grouped[found.sizes].append((found.row.label, mean, len(found.seeds)))
    intervals: dict[str, Summary] = {}
    for sizes, found_rows in grouped.items():
        values = np.stack([mean for _, mean, _ in found_rows], axis=1)
        tail = 50.0 * (1.0 - LEVEL)
        low, high = np.percentile(resampled_means(values, sizes), [tail, 100.0 - tail], axis=0)
        for i, (label, mean, n) in enumerate(found_rows):
            half = 50.0 * float(high[i] - low[i])
            intervals[label] = Summary(100.0 * float(mean.mean(dtype=np.float64)), half, n)
    return intervals, all(len(sizes) > 1 for sizes in grouped)
