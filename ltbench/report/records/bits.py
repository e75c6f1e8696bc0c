"""What a record tells of single images: correct/wrong bits and classes, packed as base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ltbench.report.records.schema import Distribution

Bits = NDArray[np.bool_]
Classes = NDArray[np.int64]


def unpacked(text: str, n: int) -> Bits | None:
    """``(n,)``, eight images a byte, the first the most significant bit.

    None where the text is empty, no base64 or not of the size of ``n`` images.
    """
    raw = _raw(text, n)
    return None if raw is None else _unpacked(raw, n)[0]


def _unpacked(joined: bytes, n: int) -> Bits:
    """``(rows, n)`` of rows that begin with a byte each."""
    packed = np.frombuffer(joined, dtype=np.uint8).reshape(-1, -(-n // 8))
    return np.unpackbits(packed, axis=1, count=n).view(np.bool_)


def _raw(text: str, n: int) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if n and len(raw) == -(-n // 8) else None


class Packed(NamedTuple):
    """``n`` images as one number of as many bits: two of them are compared without an array."""

    bits: int
    n: int


def packed_bits(distribution: Distribution) -> Packed | None:
    """:func:`correct_bits`, of which tables need tens of thousands of times only how many differ."""
    raw, n = _packed(distribution)
    # What fills the last byte is no image.
    return None if raw is None else Packed(int.from_bytes(raw, "big") >> -n % 8, n)


def correct_bits_of(distributions: Sequence[Distribution]) -> list[Bits | None]:
    """:func:`correct_bits` of each, unpacked at once where all have as many images."""
    raws = [_packed(distribution) for distribution in distributions]
    sizes = {n for raw, n in raws if raw is not None}
    if len(sizes) != 1:
        return [None if raw is None else _unpacked(raw, n)[0] for raw, n in raws]
    rows = iter(_unpacked(b"".join(raw for raw, _ in raws if raw is not None), *sizes))
    return [None if raw is None else next(rows) for raw, _ in raws]


def _packed(distribution: Distribution) -> tuple[bytes | None, int]:
    """Of draw 0: its bits as bytes, and its images."""
    first = next((draw for draw in distribution.draws if draw.number == 0), None)
    return (None, 0) if first is None else (_raw(distribution.correct, first.n), first.n)


def correct_bits(distribution: Distribution) -> Bits | None:
    """``(N,)`` of draw 0 in its stored order; None where the record has none or a wrong number."""
    return correct_bits_of([distribution])[0]


@lru_cache(maxsize=8)  # the records of a section hold the same text
def unpacked_classes(text: str, n: int) -> Classes | None:
    """``(n,)`` class of each image, one or two bytes each; None where the text does not hold that."""
    decoder = zlib.decompressobj()
    try:
        # One byte more than there may be: a damaged or hostile text must not fill the memory.
        raw = decoder.decompress(base64.b64decode(text, validate=True), 2 * n + 1)
    except (ValueError, zlib.error):
        return None
    if not n or len(raw) not in (n, 2 * n):
        return None
    return np.frombuffer(raw, dtype="<u1" if len(raw) == n else "<u2").astype(np.int64)
