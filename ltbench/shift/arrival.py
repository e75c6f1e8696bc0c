"""How a stream of test images arrives: image by image or in batches."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.errors import InputError


@dataclass(frozen=True)
class Arrival:
    """``size``: images of a batch; the last one may be smaller."""

    size: int

    @property
    def name(self) -> str:
        return "single" if self.size == 1 else f"batch:{self.size}"


def parse_arrival(text: str) -> Arrival:
    """``"batch:64"`` or ``"single"``. Raises :class:`InputError`, one line."""
    if text == "single":
        return Arrival(1)
    kind, colon, size = text.partition(":")
    if kind == "batch" and colon and size.isascii() and size.isdecimal() and int(size) > 0:
        return Arrival(int(size))
    raise InputError(f"arrival {text!r} must be single or batch:SIZE, as in batch:64")
