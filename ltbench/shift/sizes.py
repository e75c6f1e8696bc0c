"""How many images a shifted test set has: as many as the smallest class, or as all classes allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltbench.protocol.protocol import LARGEST, TestConfig
from ltbench.shift.profiles import Counts

_NOTHING = 1e-9  # images; less than a count can differ by but for rounding of the last bits
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Size:
    """count: images of a set's largest class; class_index: whose images allow no more, or None where
    ``test.max_count`` says so."""

    count: int
    class_index: int | None


def is_balanced(counts: Counts) -> bool:
    """Whether all classes that are there have equally many images."""
    present = counts[counts > 0]
    return bool((present == present[:1]).all())


def set_size(config: TestConfig, available: Counts, shares: NDArray[np.float64]) -> Size:
    """The largest class of a set whose classes have ``shares`` of it ``(C,)``, the greatest being 1.

    ``smallest-class``: ``max_count``, or the images of the smallest class of ``available`` ``(C,)`` that
    is there. ``largest``: the greatest n with n * share_c <= available_c for each of them, at most
    ``max_count``. Both are equal where the classes are of equal size.
    """
    present = np.flatnonzero(available > 0)
    if config.size != LARGEST:
        smallest = int(present[available[present].argmin()])
        if config.max_count is not None:
            return Size(config.max_count, None)
        return Size(int(available[smallest]), smallest)
    asked = present[shares[present] > 0]
    most = available[asked] / shares[asked]
    place = int(most.argmin())
    n = int(most[place] * (1 + _ROUNDING))
    if config.max_count is not None and config.max_count < n:
        return Size(config.max_count, None)
    return Size(n, int(asked[place]))


def largest_counts(n_max: int, available: Counts, shares: NDArray[np.float64]) -> Counts:
    """``(C,)`` floor(n_max * share), a product that is whole but for rounding counted as whole."""
    counts = np.floor(n_max * shares * (1 + _ROUNDING) + _NOTHING).astype(np.int64)
    return np.minimum(counts, available)


def told_class(index: int, names: Sequence[str]) -> str:
    """``"class 2 ('owl')"``, or ``"class 2"`` where it has no other name."""
    usual = f"class {index}"
    return f"{usual} ({names[index]!r})" if names and names[index] != usual else usual


def told_images(index: int, available: Counts, names: Sequence[str]) -> str:
    """``"class 2 ('owl') has 1 test image"``."""
    n = int(available[index])
    return f"{told_class(index, names)} has {n} test image{'' if n == 1 else 's'}"
