"""Tables of the size of all logits that evaluation makes: in a temporary file instead of in memory.

The file lies in the cache folder, has no name as soon as it is open, and goes with its tensor. What
is written into the tensor stays; its pages are given back piece by piece (:mod:`ltbench.maps`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from ltbench.data.cache import cache_root
from ltbench.errors import LtbenchError
from ltbench.maps import LARGE, map_file
from ltbench.pieces import pieces


def is_spilled(shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Whether a table of this shape lies in a file."""
    return prod(shape) * dtype.itemsize > LARGE


def spilled(shape: Sequence[int], dtype: torch.dtype, parts: Iterable[Tensor]) -> Tensor:
    """The tensor whose numbers are those of ``parts``, in order, which are kept by nobody.

    Raises :class:`LtbenchError` where the cache folder has no room for it.
    """
    folder, size = cache_root(), prod(shape) * dtype.itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for part in parts:
                file.write(part.detach().to(dtype).contiguous().numpy().reshape(-1).data)
            file.flush()
            numbers = map_file(file, shared=True)
    except OSError as error:
        raise LtbenchError(
            f"{folder} has to take {size / 1e9:.1f} GB for a while, a copy of logits that is too "
            f"large for memory: {error.strerror}; LTBENCH_CACHE names another folder"
        ) from error
    return torch.frombuffer(numbers, dtype=dtype).reshape(*shape)


def rows_of(table: Tensor, places: Tensor) -> Tensor:
    """``table[places]``: ``(N, ..., C)`` and ``(M,)`` to ``(M, ..., C)``."""
    shape = (len(places), *table.shape[1:])
    if not is_spilled(shape, table.dtype):
        return table[places]
    return spilled(shape, table.dtype, _rows(table, places))


def rows_of_pair(pair: Tensor, places: Tensor) -> Tensor:
    """``pair[:, places]``: ``(2, N, E, C)`` and ``(M,)`` to ``(2, M, E, C)``."""
    shape = (2, len(places), *pair.shape[2:])
    if not is_spilled(shape, pair.dtype):
        return pair[:, places]
    parts = (part for side in pair for part in _rows(side, places))
    return spilled(shape, pair.dtype, parts)


def _rows(table: Tensor, places: Tensor) -> Iterator[Tensor]:
    for part in pieces(len(places), *table.shape[1:]):
        yield table[places[part]]


def side_by_side(tables: Sequence[Tensor]) -> Tensor:
    """``torch.cat(tables, dim=-2)``: ``(..., E_m, C)`` to ``(..., sum E_m, C)``, the experts of all."""
    first = tables[0]
    experts = sum(table.shape[-2] for table in tables)
    shape = (*first.shape[:-2], experts, first.shape[-1])
    if not is_spilled(shape, first.dtype):
        return torch.cat(list(tables), dim=-2)
    flat = [table.flatten(end_dim=-3) for table in tables]
    parts = (
        torch.cat([table[part] for table in flat], dim=-2)
        for part in pieces(len(flat[0]), experts, first.shape[-1])
    )
    return spilled(shape, first.dtype, parts)
