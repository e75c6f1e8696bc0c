"""Bars on the uniform test set: class groups of each method, view agreement of each expert."""

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
)
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.shift import expert_look
from ltbench.report.figures.style import COLUMN_WIDTH, HATCHES, Look
from ltbench.report.records.schema import GROUPS
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, summarise
from ltbench.report.tables.stability import agreement_of, stable_rows
from ltbench.report.tables.uniform import recalls_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer

_ALL = (*GROUPS, "all")


def groups_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Many, medium, few and all, one bar per method with its interval over seeds."""
    uniform = section.uniform
    rows, left_out = leading_rows(
        [r for r in section.rows if not r.uses_true_prior and recalls_of(r, uniform or "")], section
    )
    if uniform is None or not rows:
        return None
    groups = [g for g in _ALL if g == "all" or section.groups[g]]
    names = short_labels([row.label for row in rows])
    figure = new_figure(2.1 + legend_height(names))
    axes = figure.add_subplot()
    bars = []
    data: list[tuple[object, ...]] = []
    for place, row in enumerate(rows):
        found = recalls_of(row, uniform)
        cells = [summarise(r.groups.get(g) for r in found.values()) for g in groups]
        hatch = HATCHES[place % len(HATCHES)]
        colour = looks[row.label].colour
        bars.append(_bars(axes, cells, place, len(rows), colour, hatch))
        data += [(row.label, g, *_numbers(c)) for g, c in zip(groups, cells, strict=True)]
    counts = [len(section.groups[g]) if g != "all" else len(section.rank) for g in groups]
    ticks = [f"{g}\n({n})" for g, n in zip(groups, counts, strict=True)]
    axes.set_xticks(range(len(groups)), ticks)
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 100)
    axes.grid(visible=False, axis="x")
    legend_below(figure, bars, names)
    return Drawing(
        name="groups",
        caption="Accuracy on the uniform test set by class group (number of classes), mean over"
        f" seeds; whiskers are 95 % t intervals (none below three seeds).{left_out}",
        figure=figure,
        head=("method", "group", "accuracy", "half_width", "n"),
        data=tuple(data),
    )


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
            data += [
                (row.label, e + 1, g, *_numbers(c)) for g, c in zip(groups, cells, strict=True)
            ]
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


def _numbers(cell: Summary | None) -> tuple[object, object, object]:
    return (None, None, 0) if cell is None else (cell.mean, cell.half_width, cell.n)
