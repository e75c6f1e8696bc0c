"""The class of each test image of a distribution, for statistics that resample inside classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ltbench.report.records.bits import (
    Bits,
    Classes,
    correct_bits,
    correct_bits_of,
    unpacked_classes,
)
from ltbench.report.records.schema import Distribution
from ltbench.report.rows.rows import Row


def image_classes(
    distribution: Distribution, bits: Bits, told: Classes | None = None
) -> Classes | None:
    """``(N,)`` class of each of the ``bits``; None where it is not known.

    Drawn sets lie class by class. A uniform set of every image keeps the order of the data, which its record
    tells, or ``told``, that of another record on the same images; where neither does, a stacked order
    is tried. An order counts only where it gives the counts and the recalls of this record.
    """
    counts = distribution.counts
    if counts is None or sum(counts) != len(bits):
        return None
    stacked = stacked_classes(tuple(counts))
    if distribution.drawn:
        return stacked
    own = unpacked_classes(distribution.labels, len(bits)) if distribution.labels else None
    tried = (classes for classes in (own, told, stacked) if classes is not None)
    return next((c for c in tried if _agrees(distribution, bits, c)), None)


@lru_cache(maxsize=64)  # records of one distribution have the same counts
def stacked_classes(counts: tuple[int, ...]) -> Classes:
    """Class by class, as drawn sets lie; not to be written into."""
    found: Classes = np.repeat(np.arange(len(counts)), counts)
    found.flags.writeable = False
    return found


@lru_cache(maxsize=8)  # all seeds have the same images
def _by_class(classes: bytes) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    """The order that puts images class by class, and the number of each class."""
    found = np.frombuffer(classes, dtype=np.int64)
    return np.argsort(found, kind="stable"), tuple(np.bincount(found).tolist())


def _agrees(distribution: Distribution, bits: Bits, classes: Classes) -> bool:
    if distribution.recalls is None or distribution.counts is None:
        return False
    counts = np.asarray(distribution.counts)
    if not np.array_equal(np.bincount(classes, minlength=len(counts)), counts):
        return False
    right = np.bincount(classes[bits], minlength=len(counts))
    recalls = np.array(distribution.recalls.per_class, dtype=np.float64)  # None becomes NaN
    found = 100.0 * right / np.where(counts, counts, np.nan)
    # np.allclose, by its own bounds; it takes several times as long.
    alike = np.abs(recalls - found) <= 1e-8 + 1e-5 * np.abs(found)
    return bool((alike | (np.isnan(recalls) & np.isnan(found))).all())


def told_classes(rows: Iterable[Row], name: str) -> Classes | None:
    """The order of the images of ``name`` as one of the records tells it: it is that of all."""
    for row in rows:
        for found in row.results.get(name, {}).values():
            bits = correct_bits(found) if found.labels else None
            classes = None if bits is None else image_classes(found, bits)
            if classes is not None:
                return classes
    return None


@dataclass(frozen=True)
class RowBits:
    """Which images of draw 0 a row has right in each of its ``seeds``.

    correct: ``(S, N)``, the same image in one column for every row of equal ``sizes``, class by class;
    sizes: images of each class, one for all where the classes are not known.
    """

    row: Row
    seeds: tuple[int, ...]
    correct: NDArray[np.bool_]
    sizes: tuple[int, ...]

    def points(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """``(S, N)`` of these seeds: 100 where the image is right, else 0."""
        places = {seed: place for place, seed in enumerate(self.seeds)}
        chosen = self.correct[[places[seed] for seed in seeds]]
        return chosen.astype(np.float64) * 100.0


@dataclass(frozen=True)
class _Kept:
    """What was found with the order of the images that is ``told``."""

    told: Classes | None
    found: RowBits | None


def rows_bits(rows: Iterable[Row], name: str) -> list[RowBits]:
    """Of every row whose records tell them and whose seeds meet the same numbers of images."""
    rows = list(rows)
    told = told_classes(rows, name)
    return [found for row in rows if (found := _row_bits(row, name, told)) is not None]


def _row_bits(row: Row, name: str, told: Classes | None) -> RowBits | None:
    """Kept by the row: two tables and the page ask, as a rule with the same order of the images."""
    key = f"right images of {name}"
    kept = row.kept.get(key)
    if isinstance(kept, _Kept) and _same(kept.told, told):
        return kept.found
    records = dict(sorted(row.results.get(name, {}).items()))
    found_bits = zip(records, correct_bits_of(list(records.values())), strict=True)
    bits = {seed: own for seed, own in found_bits if own is not None}
    classes = [image_classes(records[seed], own, told) for seed, own in bits.items()]
    stacked = _stacked(list(bits.values()), classes)
    found = None if stacked is None else RowBits(row, tuple(bits), *stacked)
    row.kept[key] = _Kept(told, found)
    return found


def _same(one: Classes | None, other: Classes | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _stacked(
    bits: Sequence[Bits], classes: Sequence[Classes | None]
) -> tuple[NDArray[np.bool_], tuple[int, ...]] | None:
    if len({len(own) for own in bits}) != 1:
        return None
    known = [own for own in classes if own is not None]
    if len(known) < len(
        bits
    ):  # an order that may be the stacked one in one record is the same in all
        return np.stack(bits), (len(bits[0]),)
    distinct = {id(own): own for own in known}  # as a rule all are the same array
    orders = {
        key: _by_class(own.astype(np.int64, copy=False).tobytes()) for key, own in distinct.items()
    }
    sizes, *others = {sizes for _, sizes in orders.values()}
    if others:
        return None
    by_class = [own[orders[id(place)][0]] for own, place in zip(bits, known, strict=True)]
    return np.stack(by_class), tuple(n for n in sizes if n)
