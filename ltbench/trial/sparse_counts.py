"""Confusions of thousands of classes: only those that occur, since all would be gigabytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DENSE_CLASSES = 1000
"""Up to here a confusion matrix is an array."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SparseCounts:
    """``(C, C)`` counts as sorted ``places`` i C + j and their ``values``; as far as it goes an array."""

    classes: int
    places: Ints
    values: Ints

    @classmethod
    def of(cls, classes: int, places: Ints, values: Ints | None = None) -> SparseCounts:
        """``places`` in any order and more than once; ``values``: 1 each unless given."""
        found, inverse = np.unique(places, return_inverse=True)
        weights = np.ones(len(places), dtype=np.int64) if values is None else values
        total = np.zeros(len(found), dtype=np.int64)
        np.add.at(total, inverse.reshape(-1), weights)
        return cls(classes, found, total)

    def __len__(self) -> int:
        return self.classes

    def __add__(self, other: SparseCounts) -> SparseCounts:
        places = np.concatenate([self.places, other.places])
        return SparseCounts.of(self.classes, places, np.concatenate([self.values, other.values]))

    def __getitem__(self, row: int) -> Ints:
        """The row as an array ``(C,)``."""
        first, last = np.searchsorted(self.places, [row * self.classes, (row + 1) * self.classes])
        found = np.zeros(self.classes, dtype=np.int64)
        found[self.places[first:last] - row * self.classes] = self.values[first:last]
        return found

    def diagonal(self) -> Ints:
        there = self.places % (self.classes + 1) == 0
        found = np.zeros(self.classes, dtype=np.int64)
        found[self.places[there] // (self.classes + 1)] = self.values[there]
        return found

    def sum(self, axis: int) -> Ints:
        """Over rows (0) or columns (1): ``(C,)``."""
        kept = self.places % self.classes if axis == 0 else self.places // self.classes
        found = np.zeros(self.classes, dtype=np.int64)
        np.add.at(found, kept, self.values)
        return found

    def cells(self) -> tuple[Ints, Ints, Ints]:
        """True classes, predicted classes and counts, ``(K,)`` each, row by row."""
        return self.places // self.classes, self.places % self.classes, self.values


Confusion = NDArray[np.int64] | SparseCounts
"""``(C, C)``: images of class i that were taken for class j; sparse above :data:`DENSE_CLASSES`."""


def cells_of(confusion: Confusion) -> tuple[Ints, Ints, Ints]:
    """True classes, predicted classes and counts of all that is not 0, row by row."""
    if isinstance(confusion, SparseCounts):
        return confusion.cells()
    true, predicted = np.nonzero(confusion)
    return true, predicted, confusion[true, predicted]


def from_cells(classes: int, true: Ints, predicted: Ints, counts: Ints) -> Confusion:
    """The inverse of :func:`cells_of`. Raises :class:`IndexError` for a class that there is not."""
    if len(true) and (
        min(true.min(), predicted.min()) < 0 or max(true.max(), predicted.max()) >= classes
    ):
        raise IndexError(f"confusion tells of a class outside 0..{classes - 1}")
    if classes > DENSE_CLASSES:
        return SparseCounts.of(classes, true * classes + predicted, counts)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    confusion[true, predicted] = counts
    return confusion
