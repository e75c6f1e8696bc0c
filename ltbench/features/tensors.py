"""A safetensors file as memory maps of its tensors, so that rows are read and not files."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ltbench.errors import DataError
from ltbench.files import parse_json, refuse_endless

Array: TypeAlias = NDArray[Any]
_TYPES = {"F16": "<f2", "I64": "<i8"}
_LARGEST_HEADER = 1 << 20  # names of a handful of tensors: more is no file of ours


def open_tensors(path: Path) -> dict[str, Array]:
    """Every tensor of the file as a read-only map, float16 or int64.

    Raises :class:`DataError`, one line, for a file that is missing, shorter or longer than its own
    header says, or holds another type.
    """
    try:
        refuse_endless(path)
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else _LARGEST_HEADER + 1
            if length > _LARGEST_HEADER:
                raise DataError(f"{path} is no safetensors file, or cut off at its beginning")
            text = file.read(length)
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        listed = parse_json(text)
        return _maps(path, listed, 8 + length, size)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} has a damaged safetensors header") from None


def _maps(path: Path, listed: Mapping[str, Any], start: int, size: int) -> dict[str, Array]:
    found: dict[str, Array] = {}
    end = start
    for name, entry in listed.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _TYPES:
            raise DataError(f"{path}: {name!r} is {entry['dtype']}; expected F16 or I64")
        dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(map(int, entry["shape"]))
        first, last = map(int, entry["data_offsets"])
        if last - first != dtype.itemsize * prod(shape) or first < 0:
            raise DataError(f"{path} has a damaged safetensors header")
        end = max(end, start + last)
        if end <= size and last > first:
            found[name] = np.memmap(path, dtype, "r", start + first, shape)
    if end != size:
        raise DataError(f"{path} has {size:,} bytes; its own header says {end:,}")
    return found
