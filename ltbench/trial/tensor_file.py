"""Tensors too large to be held twice: written piece by piece into a safetensors file, read as a map.

The format is eight bytes of the header's length, a JSON header, and the numbers, little-endian. The
library writes whole tensors only; it reads them as a memory map, so that what is not touched takes no
memory. It cannot let go of what was touched; :func:`read_tensors` can.

The format has no checksum. :func:`write_sealed` puts one into the header's metadata (CRC-32 of the numbers,
eight hexadecimal digits), and :func:`read_tensors` compares it; files without one are read as they are.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltbench.files import crc32_of, refuse_endless, write_atomically
from ltbench.maps import LARGE, map_file

_SUM = "crc32"
_UNSEALED = b'"crc32":"unsealed"'  # as long as what takes its place
_TYPES = {torch.float32: ("F32", 4), torch.float16: ("F16", 2), torch.int64: ("I64", 8)}


@dataclass(frozen=True)
class Pieces:
    """A tensor of this shape and type; ``parts``: its numbers in order, in tensors of any shape."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    parts: Iterable[Tensor]

    @classmethod
    def whole(cls, tensor: Tensor) -> Pieces:
        return cls(tuple(tensor.shape), tensor.dtype, (tensor,))


def write_pieces(path: Path, tensors: Mapping[str, Pieces], *, sealed: bool = False) -> None:
    """Whole or not at all; parts are asked for one after another and none is kept. sealed: with the
    checksum of the numbers in the header.

    Raises :class:`ValueError` where the parts are not what the shape says.
    """
    entries: dict[str, dict[str, object]] = {}
    if sealed:
        entries["__metadata__"] = {_SUM: "unsealed"}
    end = 0
    for name, pieces in tensors.items():
        kind, width = _TYPES[pieces.dtype]
        begin, end = end, end + width * prod(pieces.shape)
        entries[name] = {"dtype": kind, "shape": list(pieces.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)

    def write(temporary: Path) -> None:
        # Plain writes, not a writable memory map: there a full disk would kill the process.
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for name, pieces in tensors.items():
                size = 0
                for part in pieces.parts:
                    if part.dtype != pieces.dtype:
                        raise ValueError(f"{name}: a part is {part.dtype}, not {pieces.dtype}")
                    size += part.numel()
                    file.write(_little(part))
                if size != prod(pieces.shape):
                    raise ValueError(f"{name}: the parts hold {size} numbers of {pieces.shape}")
        if sealed:
            _seal(temporary)

    write_atomically(path, write, needed=8 + len(header) + end)


def write_sealed(path: Path, tensors: dict[str, Tensor]) -> None:
    """Whole or not at all, with the checksum of the numbers in the header."""

    def write(temporary: Path) -> None:
        save_file(tensors, temporary, metadata={_SUM: "unsealed"})
        _seal(temporary)

    write_atomically(path, write, needed=sum(tensor.nbytes for tensor in tensors.values()))


def _seal(path: Path) -> None:
    header, found = _sum(path)
    place = 8 + header.index(_UNSEALED)
    with path.open("rb+") as file:
        file.seek(place)
        file.write(f'"{_SUM}":"{found}"'.encode())


def _sum(path: Path) -> tuple[bytes, str]:
    """The header, and the CRC-32 of what follows it."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = file.read(length)
        return header, f"{crc32_of(file):08x}"


def _check_seal(path: Path) -> None:
    """Raises :class:`SafetensorError` where the numbers are not those that were written."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        stated = json.loads(file.read(length)).get("__metadata__", {}).get(_SUM)
    if stated is not None and stated != _sum(path)[1]:
        raise SafetensorError("its numbers do not match their checksum")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """As :func:`safetensors.torch.load_file`, with its errors; what is large is a map whose pages
    :func:`ltbench.maps.release` gives back."""
    refuse_endless(path)
    tensors = load_file(path)  # checks the header, touches no number
    _check_seal(path)
    types = [tensor.dtype for tensor in tensors.values()]
    if path.stat().st_size <= LARGE or sys.byteorder == "big" or not set(types) <= _TYPES.keys():
        return tensors
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
        numbers = map_file(file)

    def mapped(name: str, like: Tensor) -> Tensor:
        if like.numel() == 0:
            return like
        place = 8 + length + entries[name]["data_offsets"][0]
        flat = torch.frombuffer(numbers, dtype=like.dtype, count=like.numel(), offset=place)
        return flat.reshape(like.shape)

    return {name: mapped(name, like) for name, like in tensors.items()}


def _little(part: Tensor) -> memoryview:
    values = np.ascontiguousarray(part.detach().cpu().numpy())
    little: NDArray[np.uint8] = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).data
