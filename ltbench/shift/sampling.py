"""Drawing index sets with given class counts, as the published code does."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from ltbench.errors import InputError
from ltbench.shift.profiles import Counts

Indices = NDArray[np.int64]


def draw_indices(labels: Indices, counts: Counts, draw: int) -> Indices:
    """The official selection: one shuffle per class in class order, first ``counts[c]`` kept.

    labels: ``(N,)`` in 0..C-1; counts: ``(C,)``; draw: seed of a legacy NumPy generator of its own,
    0 is the published selection. Returns the chosen indices stacked class by class. Every class
    consumes its shuffle whatever its count, so all sets of one draw are nested prefixes.

    Source: SADE, ``data_loader/imbalance_cifar.py`` (after LDAM-DRW). Raises :class:`InputError`
    where a class has fewer images than asked for.
    """
    rng = np.random.RandomState(draw)
    chosen = []
    for label, (members, count) in enumerate(
        zip(members_of_classes(labels, len(counts)), counts, strict=True)
    ):
        if len(members) < count:
            raise InputError(f"class {label} has {len(members)} images, {count} were asked for")
        rng.shuffle(members)
        chosen.append(members[:count])
    return np.concatenate(chosen).astype(np.int64)


def members_of_classes(labels: Indices, classes: int) -> list[Indices]:
    """Places of the images of each class 0..C-1, ascending. labels: ``(N,)``, at least 0.

    One stable sort for all classes: a comparison for each of thousands of classes would read the
    labels as often. Every list is its own memory and may be shuffled in place.
    """
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(classes + 1))
    return [order[first:last].copy() for first, last in itertools.pairwise(bounds)]


def split_holdout(indices: Indices, labels: Indices, fraction: float) -> tuple[Indices, Indices]:
    """Splits a training list into (kept, held out).

    Per class floor(fraction * n) images, at least 1 where n >= 2, never the last one, taken from
    the end of the class's part of the list.
    """
    if fraction == 0:
        return indices, indices[:0]
    own = labels[indices]
    kept, held = [], []
    for places in members_of_classes(own, int(own.max(initial=-1)) + 1):
        members = indices[places]
        n = len(members)
        if n == 0:
            continue
        size = min(max(int(fraction * n), 1), n - 1)
        kept.append(members[: n - size])
        held.append(members[n - size :])
    return np.concatenate(kept), np.concatenate(held)
