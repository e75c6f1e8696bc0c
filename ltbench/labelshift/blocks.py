"""Rows of a large matrix that are worked on together."""

from __future__ import annotations

from torch import Tensor

_VALUES = 2**17
"""Of float64, a megabyte: stays in a core's cache while it is used more than once."""


def block_rows(u: Tensor) -> int:
    """How many rows of ``(N, C)`` to take at a time."""
    return max(16, _VALUES // u.shape[1])
