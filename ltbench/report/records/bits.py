"""What a record tells of single images: correct/wrong bits and classes, packed as base64."""

from __future__ import annotations

import base64
import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ltbench.report.records.schema import Distribution

Bits = NDArray[np.bool_]
Classes = NDArray[np.int64]


def unpacked(text: str, n: int) -> Bits | None:
    """``(n,)``, eight images a byte, the first the most significant bit.

    None where the text is empty, no base64 or not of the size of ``n`` images.
    """
    try:
        raw = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except ValueError:
        return None
    if not n or len(raw) != -(-n // 8):
        return None
    return np.unpackbits(raw, count=n).astype(np.bool_)


def correct_bits(distribution: Distribution) -> Bits | None:
    """``(N,)`` of draw 0 in its stored order; None where the record has none or a wrong number."""
    first = next((draw for draw in distribution.draws if draw.number == 0), None)
    return None if first is None else unpacked(distribution.correct, first.n)


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
