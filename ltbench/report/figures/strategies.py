"""Strategies over the shift: small multiples, what each makes of one training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ltbench.report.figures import style
from ltbench.report.figures.drawing import Drawing, new_figure, short_labels
from ltbench.report.figures.ends import End, label_ends, line_end
from ltbench.report.figures.lines import (
    KNOWING,
    PLAIN,
    SHIFT_AXIS,
    SHIFT_HEAD,
    draw_line,
    points_of,
    shift_axis,
    shift_rows,
    within_per_cent,
)
from ltbench.report.figures.methods import band_text
from ltbench.report.figures.panels import Panel, left_out
from ltbench.report.figures.style import COLUMN_WIDTH, Look
from ltbench.report.rows.position import position
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_strategies(
    section: Section, name: str, panels: Sequence[Panel], among: Sequence[Row]
) -> Drawing:
    """Small multiples with common axes, one per training; ``among``: the rows these were chosen from."""
    across = 1 if len(panels) <= 3 else 2
    down = -(-len(panels) // across)
    figure = new_figure(0.5 + 1.55 * down, COLUMN_WIDTH * across)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    looks = _strategy_looks(panels)
    data: list[tuple[object, ...]] = []
    labels: list[tuple[Axes, list[End | None]]] = []
    for axes, panel in zip(grid.flat, panels, strict=False):
        found, lines = _draw_panel(axes, panel, section, looks)
        labels.append((axes, found))
        data += lines
        axes.set_title(short_labels([panel.title], 40)[0], loc="left", pad=3.0)
        shift_axis(axes, section.shifts, 2.2)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for axes in list(grid.flat)[max(0, len(panels) - across) : len(panels)]:
        axes.tick_params(labelbottom=True)
    within_per_cent(grid.flat[0])
    figure.supxlabel(SHIFT_AXIS, fontsize="medium")
    figure.supylabel("top-1 accuracy (%)", fontsize="medium")
    label_ends(figure, labels)
    shown = [row for panel in panels for row in panel.rows]
    banded = [row for row in shown if _banded(row)]
    told = ", dotted with the true test prior" if any(r.uses_true_prior for r in shown) else ""
    bands = f" Of grey and bold lines {band_text(banded, section)}." if banded else ""
    return Drawing(
        name=name,
        caption="Top-1 accuracy over the test label distributions, mean over draws and seeds, a panel"
        f" per training: grey without adaptation{told}, bold the method's own strategy."
        f"{bands}{left_out(among, shown)}",
        figure=figure,
        head=SHIFT_HEAD,
        data=tuple(data),
    )


def _draw_panel(
    axes: Axes, panel: Panel, section: Section, looks: Mapping[str, Look]
) -> tuple[list[End | None], list[tuple[object, ...]]]:
    """Grey first, so that colours lie over it."""
    tests = section.shifts
    x = [position(test) for test in tests]
    data: list[tuple[object, ...]] = []
    ends = []
    for row in sorted(panel.rows, key=lambda row: not (row.uses_true_prior or _plain(row))):
        name = panel.name(row)
        look = KNOWING if row.uses_true_prior else PLAIN if _plain(row) else looks[name]
        points = points_of(row, tests)
        bold = row.is_own and not _plain(row) and row.method == row.training.name
        band = points.band if _banded(row) else None
        draw_line(axes, tests, points.y, look, band, width=1.7 if bold else None)
        ends.append(line_end(name, x, points.y, look.colour, bold=bold))
        data += shift_rows(row, tests, points)
    return ends, data


def _plain(row: Row) -> bool:
    return row.strategy == "none" and row.method == row.training.name


def _banded(row: Row) -> bool:
    """More bands would hide one another; strategies of one training share the spread over seeds."""
    return not row.uses_true_prior and (_plain(row) or row.is_own)


def _strategy_looks(panels: Sequence[Panel]) -> dict[str, Look]:
    """A strategy looks alike in all panels."""
    named = {
        panel.name(row): row.strategy if row.method == row.training.name else row.method
        for panel in panels
        for row in panel.rows
        if not (row.uses_true_prior or _plain(row))
    }
    return style.looks(named.items(), style.STRATEGIES)
