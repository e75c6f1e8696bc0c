"""A JSON value together with its place in the record, and checks that name that place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

# Control characters that are no space, marks that turn the direction of what follows, ends of lines
# that are none to us, and what Unicode will never make a character of.
_NO_TEXT = re.compile(
    "[\0-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
    + "]"
)


def readable(text: str) -> str:
    r"""Text that a terminal, XML, HTML and LaTeX take: control characters as ``\x1b``."""
    if text.isprintable():
        return text
    return _NO_TEXT.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


class Malformed(ValueError):
    """A record does not say what docs/records.md promises."""


class Node:
    """``value`` found at ``where`` (keys joined by dots).

    There are many in a large results folder: the place is put together only when a message needs
    it.
    """

    __slots__ = ("_key", "_parent", "value")

    def __init__(self, value: object, parent: Node | None = None, key: str | int = "") -> None:
        self.value, self._parent, self._key = value, parent, key

    @property
    def where(self) -> str:
        above = self._parent.where if self._parent is not None else ""
        if isinstance(self._key, int):
            return f"{above}[{self._key}]"
        return f"{above}.{self._key}" if above else self._key

    def get(self, key: str) -> Node | None:
        """The entry ``key``; ``None`` where it is missing or null."""
        if not isinstance(self.value, dict):
            raise Malformed(f"{self.where or 'the record'} is not an object")
        found = self.value.get(key)
        return None if found is None else Node(found, self, key)

    def has(self, key: str) -> bool:
        """Whether there is an entry ``key``, be it null."""
        return isinstance(self.value, dict) and key in self.value

    def at(self, key: str) -> Node:
        found = self.get(key)
        if found is None:
            raise Malformed(f"{Node(None, self, key).where} is missing")
        return found

    def entries(self) -> Iterator[tuple[str, Node]]:
        if not isinstance(self.value, dict):
            raise Malformed(f"{self.where or 'the record'} is not an object")
        for key, value in self.value.items():
            yield readable(key), Node(value, self, key)

    def items(self, length: int | None = None) -> Iterator[Node]:
        """The elements of a list, which must have ``length`` of them where that is given."""
        if not isinstance(self.value, list):
            raise Malformed(f"{self.where} is not a list")
        if length is not None and len(self.value) != length:
            raise Malformed(f"{self.where} has {len(self.value)} elements, not {length}")
        return (Node(value, self, i) for i, value in enumerate(self.value))

    def text(self, *, empty: bool = False) -> str:
        if not isinstance(self.value, str):
            raise Malformed(f"{self.where} is not a text")
        if not self.value and not empty:
            raise Malformed(f"{self.where} is empty")
        return readable(self.value)

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise Malformed(f"{self.where} is neither true nor false")
        return self.value

    def integer(self, *, low: int | None = None, high: int | None = None) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise Malformed(f"{self.where} is not a whole number")
        if abs(self.value) > 2**62:  # beyond what a table column can hold
            raise Malformed(f"{self.where} is too large")
        self._check_range(self.value, low, high)
        return self.value

    def number(self, *, low: float | None = None, high: float | None = None) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise Malformed(f"{self.where} is not a number")
        try:
            value = float(self.value)
        except OverflowError:
            raise Malformed(f"{self.where} is too large") from None
        if not math.isfinite(value):
            raise Malformed(f"{self.where} is {value}")
        self._check_range(value, low, high)
        return value

    def per_cent(self) -> float:
        # The slack is for sums of weights that round to a hair above one.
        return min(100.0, max(0.0, self.number(low=-1e-6, high=100.0 + 1e-6)))

    def _check_range(self, value: float, low: float | None, high: float | None) -> None:
        if (low is not None and value < low) or (high is not None and value > high):
            raise Malformed(f"{self.where} is {value}, outside its range")
