"""Rows of a large table that are worked on together, so that nothing of its size is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ltbench.maps import release

if TYPE_CHECKING:
    from torch import Tensor

MANY_CLASSES = 1000
"""From here on tables ``(N, E, C)`` are worked on in pieces. Below, all at once: sums keep their order
and hence their last bits."""
_VALUES = 2**24
"""Of a piece: 64 megabytes of float32, far below a table and far above what a call costs."""


def pieces(rows: int, *shape: int) -> Iterator[slice]:
    """Slices of the rows of ``(rows, *shape)``, in order; the last of ``shape`` is the classes.

    Of several, pages of mapped files that were touched for one are given back before the next.

    >>> [(part.start, part.stop) for part in pieces(10, 3, 100)]
    [(0, 10)]
    """
    size = 1
    for length in shape:
        size *= length
    step = max(1, rows) if shape[-1] < MANY_CLASSES else max(1, _VALUES // size)
    for start in range(0, max(rows, 1), step):
        yield slice(start, min(start + step, rows))
        if step < rows:
            release()


def by_pieces(function: Callable[..., Tensor], *tables: Tensor) -> Tensor:
    """``function(*tables)`` where each row of the result depends on the same row of the tables alone.

    The first table decides on the pieces. One piece: its result as it is.
    """
    import torch

    first = tables[0]
    found: Tensor | None = None
    for part in pieces(len(first), *first.shape[1:]):
        if part.stop - part.start == len(first):
            return function(*tables)
        own = function(*(table[part] for table in tables))
        if found is None:  # filled as it comes: joining a list would hold everything twice
            found = torch.empty((len(first), *own.shape[1:]), dtype=own.dtype)
        found[part] = own
    assert found is not None
    return found
