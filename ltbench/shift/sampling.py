"""Drawing index sets with given class counts, as the published code does."""

from __future__ import annotations

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
    for label, count in enumerate(counts):
        members = np.where(labels == label)[0]
        if len(members) < count:
            raise InputError(f"class {label} has {len(members)} images, {count} were asked for")
        rng.shuffle(members)
        chosen.append(members[:count])
    return np.concatenate(chosen).astype(np.int64)


def split_holdout(indices: Indices, labels: Indices, fraction: float) -> tuple[Indices, Indices]:
    """Splits a training list into (kept, held out).

    Per class floor(fraction * n) images, at least 1 where n >= 2, never the last one, taken from
    the end of the class's part of the list.
    """
    if fraction == 0:
        return indices, indices[:0]
    kept, held = [], []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        n = len(members)
        size = min(max(int(fraction * n), 1), n - 1)
        kept.append(members[: n - size])
        held.append(members[n - size :])
    return np.concatenate(kept), np.concatenate(held)
