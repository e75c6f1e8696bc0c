"""On the uniform test set: class groups of each method, view agreement of each expert."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    short_labels,
    wrapped_labels,
)
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.lines import numbers
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.shift import expert_look
from ltbench.report.figures.style import COLUMN_WIDTH, HATCHES, Look, ink
from ltbench.report.records.schema import GROUPS
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, summarise
from ltbench.report.tables.stability import agreement_of, stable_rows
from ltbench.report.tables.uniform import recalls_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.lines import Line2D

_ALL = (*GROUPS, "all")
# From dark to light as images get fewer; the mean of all is no group.
_GROUP_LOOKS = {
    group: Look(colour, marker, "none")
    for group, colour, marker in zip(
        _ALL, ("#0B3C6F", "#3B8BC4", "#D55E00", "#6E6E6E"), ("s", "D", "o", "|"), strict=True
    )
}


def groups_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Many, medium, few and all: a line per method, a point per group with its interval over seeds."""
    uniform = section.uniform
    rows, left_out = leading_rows(
        [r for r in section.rows if not r.uses_true_prior and recalls_of(r, uniform or "")], section
    )
    if uniform is None or not rows:
        return None
    groups = [g for g in _ALL if g == "all" or section.groups[g]]
    counts = [len(section.groups[g]) if g != "all" else len(section.rank) for g in groups]
    keys = [f"{g} ({n})" for g, n in zip(groups, counts, strict=True)]
    names = wrapped_labels([row.label for row in rows], 28)
    tall = 0.26 if any("\n" in name for name in names) else 0.18
    figure = new_figure(0.6 + tall * len(rows) + legend_height(keys))
    axes = figure.add_subplot()
    table = [
        [summarise(r.groups.get(g) for r in recalls_of(row, uniform).values()) for g in groups]
        for row in rows
    ]
    handles = [
        _points(axes, [cells[k] for cells in table], _GROUP_LOOKS[group])
        for k, group in enumerate(groups)
    ]
    axes.set_yticks(range(len(rows)), names)
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_color(ink(looks[row.label].colour))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy (%)")
    legend_below(figure, handles, keys)
    return Drawing(
        name="groups",
        caption="Accuracy on the uniform test set by class group (number of classes), mean over"
        f" seeds; whiskers are 95 % t intervals (none below three seeds).{left_out}",
        figure=figure,
        head=("method", "group", "accuracy", "half_width", "n"),
        data=tuple(
            (row.label, group, *numbers(cell))
            for row, cells in zip(rows, table, strict=True)
            for group, cell in zip(groups, cells, strict=True)
        ),
    )


def _points(axes: Axes, cells: Sequence[Summary | None], look: Look) -> Line2D:
    """One group of every method; returned without whiskers, which would touch those of the legend."""
    widths = [math.nan if c is None or c.half_width is None else c.half_width for c in cells]
    tick = look.marker == "|"
    found = axes.errorbar(
        [math.nan if cell is None else cell.mean for cell in cells],
        range(len(cells)),
        xerr=widths if any(not math.isnan(w) for w in widths) else None,
        color=look.colour,
        marker=look.marker,
        markersize=8.0 if tick else 4.5,
        markeredgewidth=1.4 if tick else 0.0,
        linestyle="none",
        elinewidth=0.8,
        clip_on=False,  # a marker at 100 % is a whole one
    )
    for whisker in found.lines[2]:
        whisker.set_clip_on(True)  # an interval may leave 0 to 100, over the names beside it
    point: Line2D = found.lines[0]
    return point


def agreement_figure(section: Section) -> Drawing | None:
    """Prediction stability of each expert by class group, one panel per training."""
    rows, left_out = leading_rows(stable_rows(section), section, most=4)
    if not rows:
        return None
    groups = [g for g in _ALL if g == "all" or section.groups[g]]
    across = 1 if len(rows) < 3 else 2
    down = -(-len(rows) // across)
    width = COLUMN_WIDTH * across
    experts = max(row.experts for row in rows)
    names = [f"expert {e + 1}" for e in range(experts)]
    figure = new_figure(0.3 + 1.5 * down + legend_height(names, width), width)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    handles: dict[int, BarContainer] = {}
    data: list[tuple[object, ...]] = []
    for panel, row, title in zip(
        grid.flat, rows, short_labels([row.label for row in rows]), strict=False
    ):
        for e in range(row.experts):
            found = agreement_of(row, section, e)
            cells = [found.get(g) for g in groups]
            look = expert_look(e)
            hatch = HATCHES[e % len(HATCHES)]
            handles[e] = _bars(panel, cells, e, row.experts, look.colour, hatch)
            data += [(row.label, e + 1, g, *numbers(c)) for g, c in zip(groups, cells, strict=True)]
        panel.set_xticks(range(len(groups)), groups)
        panel.set_title(title, loc="left", pad=3.0)
        panel.grid(visible=False, axis="x")
    for panel in list(grid.flat)[len(rows) :]:
        panel.set_axis_off()
    figure.supylabel("agreement of two views", fontsize="medium")
    legend_below(figure, [handles[e] for e in sorted(handles)], names, width)
    return Drawing(
        name="agreement",
        caption="Prediction stability: mean cosine similarity of an expert's class probabilities on"
        " two augmented views of a test image, by class group; whiskers are 95 % t intervals over"
        f" seeds (none below three seeds).{left_out}",
        figure=figure,
        head=("method", "expert", "group", "agreement", "half_width", "n"),
        data=tuple(data),
    )


def _bars(
    axes: Axes,
    cells: Sequence[Summary | None],
    place: int,
    of: int,
    colour: str,
    hatch: str,
) -> BarContainer:
    """Side by side; the hatch tells them apart without colour."""
    width = 0.84 / of
    x = [i + (place - (of - 1) / 2) * width for i in range(len(cells))]
    heights = [math.nan if cell is None else cell.mean for cell in cells]
    widths = [math.nan if c is None or c.half_width is None else c.half_width for c in cells]
    return axes.bar(
        x,
        heights,
        width * 0.94,
        yerr=widths if any(not math.isnan(w) for w in widths) else None,
        color=colour,
        edgecolor="white",
        linewidth=0.3,
        hatch=hatch,
        error_kw={"elinewidth": 0.6, "ecolor": "#222222"},
    )


FIGURES = (
    FigureKind(50, groups_figure),
    FigureKind(60, lambda section, looks: agreement_figure(section)),
)
