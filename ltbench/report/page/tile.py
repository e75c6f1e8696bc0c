"""A hatch repeats within matplotlib's tile of it: a part of the tile draws the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

PARTS = (6, 4, 3, 2)
"""Into how many a side is cut. A tile of a few points would be drawn on too few pixels."""
_MARGIN = 1.0  # a line is as wide as that at most
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class _Shape:
    """A subpath: commands, and coordinates from where it starts, to hundredths."""

    commands: str
    moved: tuple[tuple[float, float], ...]

    def reaches(self, x: float, y: float, side: float) -> bool:
        """Whether any of it lies in the tile when it starts at (x, y)."""
        across, along = [dx for dx, _ in self.moved], [dy for _, dy in self.moved]
        return (
            x + max(across) > -_MARGIN
            and x + min(across) < side + _MARGIN
            and y + max(along) > -_MARGIN
            and y + min(along) < side + _MARGIN
        )

    def at(self, x: float, y: float) -> str:
        points = iter(self.moved)
        text = ""
        for command in self.commands:
            count = {"M": 1, "L": 1, "Q": 2, "C": 3, "z": 0}[command]
            numbers = (f"{x + dx} {y + dy}" for dx, dy in (next(points) for _ in range(count)))
            text += f"{command} {' '.join(numbers)} "
        return text


def small_tile(pattern: Element) -> None:
    """Cuts a pattern down where small shapes (dots, rings, stars) repeat within it; else nothing.

    Exact: cut only where moving all shapes by the new side, round the tile, gives all shapes.
    """
    paths = [e for e in pattern.iter() if e.tag.rpartition("}")[2] == "path"]
    side = float(pattern.get("width", "0"))
    if len(paths) != 1 or side != float(pattern.get("height", "0")) or not side:
        return
    placed = list(_shapes(paths[0].get("d", "")))
    if not placed or any(_size(shape) > side / PARTS[0] for shape, _, _ in placed):
        return
    whole = {(shape, *_within(x, y, side)) for shape, x, y in placed}
    for parts in PARTS:
        small = side / parts
        if all(
            {(shape, *_within(x + dx, y + dy, side)) for shape, x, y in whole} == whole
            for dx, dy in ((small, 0.0), (0.0, small))
        ):
            break
    else:
        return
    kept = sorted(
        {(shape, *_within(x, y, small)) for shape, x, y in whole}, key=lambda s: (s[1:], s[0].moved)
    )
    moves = [(i * small, j * small) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    paths[0].set(
        "d",
        "".join(
            shape.at(x + dx, y + dy)
            for dx, dy in moves
            for shape, x, y in kept
            if shape.reaches(x + dx, y + dy, small)
        ),
    )
    pattern.set("width", f"{small:g}")
    pattern.set("height", f"{small:g}")


def _shapes(d: str) -> Iterator[tuple[_Shape, float, float]]:
    for text in re.findall(r"M[^M]*", d):
        numbers = [float(number) for number in _NUMBER.findall(text)]
        x, y = numbers[:2]
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        moved = tuple((round(a - x, 2), round(b - y, 2)) for a, b in pairs)
        yield _Shape("".join(re.findall(r"[A-Za-z]", text)), moved), x, y


def _size(shape: _Shape) -> float:
    across, along = [dx for dx, _ in shape.moved], [dy for _, dy in shape.moved]
    return max(max(across) - min(across), max(along) - min(along))


def _within(x: float, y: float, side: float) -> tuple[float, float]:
    """Round the tile; what differs by rounding alone becomes equal."""
    return round(x % side, 2) % side, round(y % side, 2) % side
