"""Lines over the test label distributions: their points, bands and axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING

from ltbench.report.figures.style import DOTTED, Look
from ltbench.report.rows.position import position
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import TestSet
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.shift import top1

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SHIFT_AXIS = "test label distribution (forward – uniform – backward)"
SHIFT_HEAD = ("method", "uses_true_prior", "distribution", "x", "top1", "half_width", "n")
GREY = "#6E6E6E"
PLAIN = Look(GREY, "o", "-")
"""Of the row without adaptation, which the coloured ones are compared with."""
KNOWING = Look(GREY, "", DOTTED)
"""Of the row that knows the true test prior."""

Band = Sequence[tuple[float, float] | None]
_ROOM = 0.062  # inches: a character of 7 pt with what keeps it from the next label


@dataclass(frozen=True)
class Points:
    """One line: a cell per test distribution, and how far it varies."""

    cells: tuple[Summary | None, ...]
    band: tuple[tuple[float, float] | None, ...]
    ranged: bool = False
    """Whether the band is a range over seeds and draws rather than an interval over seeds."""

    @property
    def y(self) -> list[float]:
        return [math.nan if cell is None else cell.mean for cell in self.cells]


def points_of(row: Row, tests: Sequence[TestSet]) -> Points:
    """Top-1 accuracy over ``tests``.

    The band is the 95 % t interval over seeds; for a row with fewer than three seeds anywhere, from
    the lowest to the highest single accuracy over seeds and draws.
    """
    cells = tuple(row.cell(test.name, top1) for test in tests)
    if any(cell is not None and cell.half_width is None for cell in cells):
        singles = [_singles(row, test.name) for test in tests]
        band = tuple((min(found), max(found)) if found else None for found in singles)
        return Points(cells, band, ranged=True)
    return Points(cells, interval(cells))


def deviations(row: Row, tests: Sequence[TestSet], points: Points) -> Band:
    """The mean give or take a standard deviation of the single accuracies over seeds and draws."""
    band: list[tuple[float, float] | None] = []
    for test, cell in zip(tests, points.cells, strict=True):
        found = _singles(row, test.name)
        sd = stdev(found) if len(found) > 1 else 0.0
        band.append(None if cell is None else (cell.mean - sd, cell.mean + sd))
    return band


def interval(cells: Sequence[Summary | None]) -> tuple[tuple[float, float] | None, ...]:
    return tuple(
        None
        if c is None or c.half_width is None
        else (c.mean - c.half_width, c.mean + c.half_width)
        for c in cells
    )


def _singles(row: Row, name: str) -> list[float]:
    return [draw.top1 for one in row.results.get(name, {}).values() for draw in one.draws]


def draw_line(
    axes: Axes,
    tests: Sequence[TestSet],
    y: Sequence[float],
    look: Look,
    band: Band | None = None,
    *,
    width: float | None = None,
) -> Line2D:
    """A look without marker is thin: a reference behind the others."""
    x = [position(test) for test in tests]
    (line,) = axes.plot(
        x,
        y,
        color=look.colour,
        marker=look.marker or "none",
        linestyle=look.line,
        linewidth=width or (None if look.marker else 0.9),
        markeredgewidth=0.7,
        clip_on=False,  # a marker at 100 % is a whole one
        zorder=2.2 if look.marker else 2.1,
    )
    if band is not None and any(band):
        low, high = zip(*((math.nan, math.nan) if b is None else b for b in band), strict=True)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
    return line


def shift_rows(row: Row, tests: Sequence[TestSet], points: Points) -> list[tuple[object, ...]]:
    """Lines of the CSV under :data:`SHIFT_HEAD`."""
    return [
        (row.label, row.uses_true_prior, test.name, position(test), *numbers(cell))
        for test, cell in zip(tests, points.cells, strict=True)
    ]


def numbers(cell: Summary | None) -> tuple[object, object, object]:
    return (None, None, 0) if cell is None else (cell.mean, cell.half_width, cell.n)


def shift_axis(axes: Axes, tests: Sequence[TestSet], inches: float = 2.8) -> None:
    """A tick at each distribution; named are the ends, uniform and what has room beside them.

    inches: about the width of the axes.
    """
    names = {position(test): test.short for test in tests}
    x = sorted(names)
    axes.set_xticks(x, named(names, inches))
    axes.set_xlim(*_limits(x))
    axes.axvline(0.0, color="#BBBBBB", linewidth=0.7, zorder=0.5)


def named(names: Mapping[float, str], inches: float) -> list[str]:
    """The names in the order of their places, empty where a neighbour leaves no room."""
    x = sorted(names)
    scale = inches / max(x[-1] - x[0], 1e-9)
    middle = [place for place in x if place == 0.0]
    kept: list[float] = []
    for place in dict.fromkeys([x[0], x[-1], *middle, *x]):
        rooms = ((abs(place - k) * scale, len(names[place]) + len(names[k])) for k in kept)
        if all(room > 0.05 + _ROOM * characters / 2 for room, characters in rooms):
            kept.append(place)
    return [names[place] if place in kept else "" for place in x]


def _limits(x: Sequence[float]) -> tuple[float, float]:
    pad = 0.03 * (x[-1] - x[0]) or 1.0
    return x[0] - pad, x[-1] + pad


def within_per_cent(axes: Axes) -> None:
    """No axis of accuracies runs below 0 or over 100 %."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), min(100.0, high))
