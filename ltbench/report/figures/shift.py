"""Figures over the test label distributions: accuracy, and learned expert weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    short_labels,
)
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.style import (
    COLUMN_WIDTH,
    DASHES,
    DOTTED,
    EXPERT_COLOURS,
    MARKERS,
    Look,
)
from ltbench.report.rows.position import position
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.experts import expert_weight, weighted_rows
from ltbench.report.tables.shift import top1

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

BANDED_ROWS = 6  # the bands of more rows hide one another
_AXIS = "test label distribution (forward – uniform – backward)"


def shift_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Accuracy from forward to backward, one line per method, a band over its seeds."""
    tests = section.shifts
    plain, left_out = leading_rows(
        [row for row in section.rows if row.seeds and not row.uses_true_prior], section
    )
    told, _ = leading_rows([r for r in section.rows if r.seeds and r.uses_true_prior], section)
    rows = sorted([*plain, *told], key=lambda row: row.label)
    if len(tests) < 2 or not rows:
        return None
    names = short_labels([row.label for row in rows])
    knowing = any(row.uses_true_prior for row in rows)
    if knowing:
        names.append("(dotted: true prior)")
    figure = new_figure(2.3 + legend_height(names))
    axes = figure.add_subplot()
    data: list[tuple[object, ...]] = []
    lines = []
    for row in rows:
        cells = [row.cell(test.name, top1) for test in tests]
        look = looks[row.label]
        band = not row.uses_true_prior and (len(plain) <= BANDED_ROWS or row.label == row.method)
        lines.append(_draw(axes, tests, cells, look, faint=row.uses_true_prior, band=band))
        data += [
            (row.label, row.uses_true_prior, test.name, position(test), *_numbers(cell))
            for test, cell in zip(tests, cells, strict=True)
        ]
    if knowing:
        lines += axes.plot([], [], linestyle=DOTTED, linewidth=0.9, color="#777777")
    _axis(axes, tests)
    of = "" if len(plain) <= BANDED_ROWS else " of the methods with their own strategy"
    axes.set_xlabel(_AXIS)
    axes.set_ylabel("top-1 accuracy (%)")
    legend_below(figure, lines, names)
    return Drawing(
        name="accuracy-over-shift",
        caption=f"Top-1 accuracy over the test label distributions; bands{of} are 95 % t intervals"
        f" over seeds (none below three seeds). Dotted: knows the true test prior.{left_out}",
        figure=figure,
        head=("method", "uses_true_prior", "distribution", "x", "top1", "half_width", "n"),
        data=tuple(data),
    )


def weights_figure(section: Section) -> Drawing | None:
    """Learned expert weights over the shift, one panel per method that adapts."""
    tests = section.shifts
    rows, left_out = leading_rows(weighted_rows(section), section, most=6)
    if len(tests) < 2 or not rows:
        return None
    across = 1 if len(rows) <= 3 else 2
    down = -(-len(rows) // across)
    width = COLUMN_WIDTH * across
    names = [f"expert {e + 1}" for e in range(max(row.experts for row in rows))]
    figure = new_figure(0.5 + 1.45 * down + legend_height(names, width), width)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    data: list[tuple[object, ...]] = []
    titles = short_labels([row.label for row in rows])
    handles: dict[int, Line2D] = {}
    for panel, row, title in zip(grid.flat, rows, titles, strict=False):
        for expert in range(row.experts):
            cells = [row.cell(test.name, expert_weight(expert)) for test in tests]
            handles[expert] = _draw(panel, tests, cells, expert_look(expert))
            data += [
                (row.label, expert + 1, test.name, position(test), *_numbers(cell))
                for test, cell in zip(tests, cells, strict=True)
            ]
        _axis(panel, tests)
        panel.set_title(title, loc="left", pad=3.0)
        panel.set_ylim(-0.03, 1.03)
    for panel in list(grid.flat)[len(rows) :]:
        panel.set_axis_off()
    # The lowest panel of a column carries the tick labels, also above an empty place.
    for panel in list(grid.flat)[max(0, len(rows) - across) : len(rows)]:
        panel.tick_params(labelbottom=True)
        panel.set_xlabel(_AXIS)
    figure.supylabel("expert weight", fontsize="medium")
    legend_below(figure, [handles[e] for e in sorted(handles)], names, width)
    return Drawing(
        name="expert-weights",
        caption="Expert weights learned at test time over the test label distributions; bands are"
        f" 95 % t intervals over seeds (none below three seeds).{left_out}",
        figure=figure,
        head=("method", "expert", "distribution", "x", "weight", "half_width", "n"),
        data=tuple(data),
    )


def expert_look(expert: int) -> Look:
    colour = EXPERT_COLOURS[expert % len(EXPERT_COLOURS)]
    line = DASHES[expert // len(EXPERT_COLOURS) % len(DASHES)]
    return Look(colour, MARKERS[expert % len(MARKERS)], line)


def _draw(
    axes: Axes,
    tests: Sequence[TestSet],
    cells: Sequence[Summary | None],
    look: Look,
    *,
    faint: bool = False,
    band: bool = True,
) -> Line2D:
    x = [position(test) for test in tests]
    (line,) = axes.plot(
        x,
        [math.nan if cell is None else cell.mean for cell in cells],
        color=look.colour,
        marker=look.marker,
        linestyle=DOTTED if faint else look.line,
        linewidth=0.9 if faint else None,
        markerfacecolor="white" if faint else look.colour,
        markeredgewidth=0.7,
    )
    banded = [cell for cell in cells if cell is not None and cell.half_width is not None]
    if banded and band:
        pairs = [(math.nan, math.nan) if c is None else _band(c) for c in cells]
        low, high = zip(*pairs, strict=True)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    return line


def _band(cell: Summary) -> tuple[float, float]:
    width = math.nan if cell.half_width is None else cell.half_width
    return cell.mean - width, cell.mean + width


def _numbers(cell: Summary | None) -> tuple[object, object, object]:
    return (None, None, 0) if cell is None else (cell.mean, cell.half_width, cell.n)


def _axis(axes: Axes, tests: Sequence[TestSet]) -> None:
    places = {position(test): test.short for test in tests}
    x = sorted(places)
    names = [places[p] for p in x]
    closest = min((b - a for a, b in pairwise(x)), default=1.0)
    # Inches between the two nearest ticks against the width of a label of 7 pt.
    room = 2.8 * closest / max(x[-1] - x[0], 1e-9)
    upright = room < 0.05 + 0.062 * max(len(name) for name in names)
    axes.set_xticks(x, names, rotation=90 if upright else 0)
    axes.axvline(0.0, color="#BBBBBB", linewidth=0.7, zorder=0.5)
