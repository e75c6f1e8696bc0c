"""Rows of a large matrix that are worked on together."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

_VALUES = 2**18
"""Of float64, two megabytes: stays in a core's cache while it is used more than once."""


def row_blocks(u: Tensor) -> Iterator[slice]:
    """Slices of the rows of ``(N, C)``, in order."""
    rows = max(16, _VALUES // u.shape[1])
    for first in range(0, len(u), rows):
        yield slice(first, first + rows)
