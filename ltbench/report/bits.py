"""Correct/wrong bits of a record: base64 of eight images a byte, the first the most significant."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]


def unpacked(text: str, n: int) -> Bits | None:
    """``(n,)``; None where the text is empty, no base64 or not of the size of ``n`` images."""
    try:
        raw = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except ValueError:
        return None
    if not n or len(raw) != -(-n // 8):
        return None
    return np.unpackbits(raw, count=n).astype(np.bool_)
