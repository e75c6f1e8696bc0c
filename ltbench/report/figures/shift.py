"""Figures over the test label distributions: accuracy, and learned expert weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    short_labels,
)
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.lines import SHIFT_AXIS, draw_line, interval, numbers, shift_axis
from ltbench.report.figures.methods import draw_methods, one_row_each, with_best_oracle
from ltbench.report.figures.panels import LINES, drawable, panels_of
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.strategies import draw_strategies
from ltbench.report.figures.style import COLUMN_WIDTH, DASHES, EXPERT_COLOURS, MARKERS, Look
from ltbench.report.rows.position import position
from ltbench.report.rows.sections import Section
from ltbench.report.tables.experts import expert_weight, weighted_rows

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

_NAME = "accuracy-over-shift"


def shift_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Accuracy from forward to backward: one panel of a few lines, or one per training."""
    rows = drawable(section.rows)
    every = [row for row in section.rows if row.seeds]
    if len(section.shifts) < 2 or not any(not row.uses_true_prior for row in rows):
        return None
    trainings = {row.training for row in rows}
    if len(trainings) > 1 and len(rows) <= LINES:
        return draw_methods(section, looks, _NAME, rows, every)
    if one_row_each(rows):
        plain = [row for row in rows if not row.uses_true_prior]
        return draw_methods(section, looks, _NAME, with_best_oracle(plain, section), every)
    return draw_strategies(section, _NAME, panels_of(rows, section.shifts), every)


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
            means = [math.nan if cell is None else cell.mean for cell in cells]
            handles[expert] = draw_line(panel, tests, means, expert_look(expert), interval(cells))
            data += [
                (row.label, expert + 1, test.name, position(test), *numbers(cell))
                for test, cell in zip(tests, cells, strict=True)
            ]
        shift_axis(panel, tests)
        panel.set_title(title, loc="left", pad=3.0)
        panel.set_ylim(0.0, 1.0)
    for panel in list(grid.flat)[len(rows) :]:
        panel.set_axis_off()
    # The lowest panel of a column carries the tick labels, also above an empty place.
    for panel in list(grid.flat)[max(0, len(rows) - across) : len(rows)]:
        panel.tick_params(labelbottom=True)
        panel.set_xlabel(SHIFT_AXIS)
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


FIGURES = (
    FigureKind(10, shift_figure),
    FigureKind(30, lambda section, looks: weights_figure(section)),
)
