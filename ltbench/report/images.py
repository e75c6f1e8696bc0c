"""Stratified bootstrap over test images, from the correct/wrong bits of draw 0.

It covers which images the test set happens to hold, and nothing else: not the training (that is
what intervals over seeds cover) and not which subset was drawn.
"""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ltbench.report.rows import Row
from ltbench.report.schema import Distribution
from ltbench.report.statistics import LEVEL, Summary

RESAMPLES = 1000
_CHUNK = 250  # resamples at once: bounds the memory of a test set of 10,000 images to 10 MB

Bits = NDArray[np.bool_]


def correct_bits(distribution: Distribution) -> Bits | None:
    """``(N,)`` of draw 0 in its stored order; ``None`` where the record has none or a wrong number."""
    draw = next((d for d in distribution.draws if d.number == 0), None)
    if draw is None or not distribution.correct:
        return None
    try:
        raw = np.frombuffer(base64.b64decode(distribution.correct, validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != -(-draw.n // 8):
        return None
    return np.unpackbits(raw, count=draw.n).astype(np.bool_)


def strata(distribution: Distribution, bits: Bits) -> tuple[int, ...]:
    """Sizes of the classes in the order of the bits; one stratum where that order is not known.

    Drawn sets lie class by class. Sets that use every image keep the order of the data, which a
    record does not tell; where their per-class recalls agree with a stacked order, it is one.
    """
    counts = distribution.counts
    whole = (len(bits),)
    if counts is None or sum(counts) != len(bits):
        return whole
    sizes = tuple(n for n in counts if n)
    if distribution.kind in ("forward", "backward"):
        return sizes
    if distribution.recalls is None:
        return whole
    known = [r for r in distribution.recalls.per_class if r is not None]
    starts = np.cumsum([0, *sizes[:-1]])
    stacked = 100.0 * np.add.reduceat(bits, starts) / np.asarray(sizes)
    return sizes if len(known) == len(sizes) and np.allclose(known, stacked) else whole


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
    for row in rows:
        members = [
            (bits, strata(found, bits))
            for _, found in sorted(row.results.get(name, {}).items())
            if (bits := correct_bits(found)) is not None
        ]
        kinds = {sizes for _, sizes in members}
        # A stacked order may look like any other where all images are right; the coarser one holds.
        common = min(kinds, key=len) if kinds and len({sum(s) for s in kinds}) == 1 else None
        if common is not None:
            mean = np.stack([bits for bits, _ in members]).mean(axis=0, dtype=np.float32)
            grouped[common].append((row.label, mean, len(members)))
    intervals: dict[str, Summary] = {}
    for sizes, found_rows in grouped.items():
        values = np.stack([mean for _, mean, _ in found_rows], axis=1)
        tail = 50.0 * (1.0 - LEVEL)
        low, high = np.percentile(resampled_means(values, sizes), [tail, 100.0 - tail], axis=0)
        for i, (label, mean, n) in enumerate(found_rows):
            half = 50.0 * float(high[i] - low[i])
            intervals[label] = Summary(100.0 * float(mean.mean(dtype=np.float64)), half, n)
    return intervals, all(len(sizes) > 1 for sizes in grouped)
