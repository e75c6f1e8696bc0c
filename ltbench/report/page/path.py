"""Path data of an SVG in fewer characters: rounded, relative, circles as arcs.

Source: W3C, SVG 2, section 9.3 (path data), the commands ``m l h v q c a z``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

Point = tuple[int, int]
Piece = tuple[str, list[Point]]

STEPS = 100  # per unit, 1/72 inch: a hundredth is a fiftieth of a pixel at twice the printed size
_POINTS = {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}
_TOKEN = re.compile(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_EIGHTHS = 8  # cubic curves in a circle of matplotlib's


def short_path(d: str) -> str:
    """The same path to a hundredth of a unit; errors do not add up along it.

    Only the absolute commands that matplotlib writes are known: other data stays as it is.

    >>> short_path("M 1 2 L 3.001 2 L 3 4.5 z")
    'M1 2h2v2.5z'
    """
    tokens = [token.upper() if token == "z" else token for token in _TOKEN.findall(d)]
    if any(token.isalpha() and token not in _POINTS for token in tokens):
        return d
    pieces: list[Piece] = []
    at = 0
    while at < len(tokens):
        size = 2 * _POINTS[tokens[at]]
        numbers = [round(float(token) * STEPS) for token in tokens[at + 1 : at + 1 + size]]
        pieces.append((tokens[at], list(zip(numbers[::2], numbers[1::2], strict=True))))
        at += 1 + size
    return _written(pieces)


def short_number(value: float) -> str:
    """To a hundredth, without zeros that say nothing.

    >>> [short_number(x) for x in (0.504, -0.5, 12.0, -0.001)]
    ['.5', '-.5', '12', '0']
    """
    return _text(round(value * STEPS))


def _text(steps: int) -> str:
    text = f"{abs(steps) / STEPS:.2f}".rstrip("0").rstrip(".")
    text = text.removeprefix("0") if text != "0" else text
    return f"-{text}" if steps < 0 else text


def _written(pieces: Sequence[Piece]) -> str:
    tokens: list[str] = []
    pen = start = (0, 0)
    before = ""
    at = 0
    while at < len(pieces):
        command, points = pieces[at]
        arcs = _arcs(pieces[at : at + _EIGHTHS], pen) if command == "C" else None
        end = points[-1] if points else start
        if at == 0:
            letter, numbers = "M", [_text(number) for number in end]
        elif arcs:
            letter, numbers, end = "a", arcs, pen
        else:
            letter, numbers = _relative(command, points, pen)
        # A letter is repeated by leaving it out; a relative move goes on as relative lines.
        if letter in "mz" or letter not in (before, "l" if before == "m" else ""):
            tokens.append(letter)
        tokens += numbers
        start = end if command == "M" else start
        pen, before = end, letter
        at += _EIGHTHS if arcs else 1
    return _joined(tokens)


def _joined(tokens: Iterable[str]) -> str:
    """A sign or a second decimal point begins a number by itself."""
    text = before = ""
    for token in tokens:
        numbers = not (token.isalpha() or before.isalpha() or not before)
        begun = token.startswith("-") or (token.startswith(".") and "." in before)
        text += f" {token}" if numbers and not begun else token
        before = token
    return text


def _relative(command: str, points: Sequence[Point], pen: Point) -> tuple[str, list[str]]:
    moved = [(x - pen[0], y - pen[1]) for x, y in points]
    if command == "L" and moved[0][1] == 0:
        return "h", [_text(moved[0][0])]
    if command == "L" and moved[0][0] == 0:
        return "v", [_text(moved[0][1])]
    return command.lower(), [_text(number) for point in moved for number in point]


def _arcs(pieces: Sequence[Piece], pen: Point) -> list[str] | None:
    """Two half circles for eight cubic curves around one; ``None`` for other curves."""
    if len(pieces) < _EIGHTHS or any(command != "C" for command, _ in pieces):
        return None
    ends = [pen, *(points[-1] for _, points in pieces)]
    if ends[-1] != pen:
        return None
    x, y = (sum(end[axis] for end in ends[1:]) / _EIGHTHS for axis in (0, 1))
    radii = [math.hypot(end[0] - x, end[1] - y) for end in ends]
    sides = [math.dist(a, b) for a, b in pairwise(ends)]
    radius = sum(radii) / len(radii)
    side = 2 * radius * math.sin(math.pi / _EIGHTHS)
    if any(abs(r - radius) > 1 for r in radii) or any(abs(s - side) > 2 for s in sides):
        return None
    turn = (ends[0][0] - x) * (ends[1][1] - y) - (ends[0][1] - y) * (ends[1][0] - x)
    sweep = "1" if turn > 0 else "0"
    there = (ends[4][0] - pen[0], ends[4][1] - pen[1])
    size = _text(round(radius))
    half = [size, size, "0", "1", sweep]
    return [*half, *map(_text, there), *half, *(_text(-number) for number in there)]
