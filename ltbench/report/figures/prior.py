"""Estimated against true class priors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import NullFormatter

from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    wrapped_labels,
)
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.style import COLUMN_WIDTH, EXPERT_COLOURS, MARKERS
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import mean_of
from ltbench.report.tables.prior import estimating_rows, true_prior

if TYPE_CHECKING:
    from matplotlib.collections import PathCollection

_FLOOR = 1e-5  # a class estimated as absent still needs a place on a logarithmic axis


def estimated_prior(row: Row, name: str) -> list[float] | None:
    """``(C,)``, mean over draws, then over seeds."""
    per_seed = []
    for found in row.results.get(name, {}).values():
        priors = [draw.prior for draw in found.draws if draw.prior is not None]
        if priors:
            per_seed.append([mean_of(values) or 0.0 for values in zip(*priors, strict=True)])
    if not per_seed:
        return None
    return [mean_of(values) or 0.0 for values in zip(*per_seed, strict=True)]


def prior_figure(section: Section) -> Drawing | None:
    """A point per class at the ends and the middle of the spectrum, one panel per row."""
    rows, left_out = leading_rows(estimating_rows(section), section, most=6)
    tests = _three(section.shifts)
    truths = {test.name: true_prior(section, test.name) for test in tests}
    if not rows or not any(truths.values()):
        return None
    across = 1 if len(rows) == 1 else 2
    down = -(-len(rows) // across)
    width = COLUMN_WIDTH if len(rows) < 3 else COLUMN_WIDTH * 1.5
    names = [test.short for test in tests]
    tall = 2.0 if len(rows) == 1 else 1.7
    figure = new_figure(0.4 + tall * down + legend_height(names, width), width)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    titles = wrapped_labels([row.label for row in rows], 36)
    handles: dict[int, PathCollection] = {}
    data: list[tuple[object, ...]] = []
    for panel, row, title in zip(grid.flat, rows, titles, strict=False):
        for i, test in enumerate(tests):
            truth, estimate = truths[test.name], estimated_prior(row, test.name)
            if truth is None or estimate is None:
                continue
            pairs = [(t, e) for t, e in zip(truth, estimate, strict=True) if t > 0]
            handles[i] = panel.scatter(
                [t for t, _ in pairs],
                [max(e, _FLOOR) for _, e in pairs],
                s=9,
                color=EXPERT_COLOURS[i],
                marker=MARKERS[i],
                alpha=0.75,
                linewidths=0,
            )
            data += [
                (row.label, test.name, c, t, e)
                for c, (t, e) in enumerate(zip(truth, estimate, strict=True))
            ]
        panel.axline((0.01, 0.01), (0.1, 0.1), color="#777777", linewidth=0.7, zorder=0.5)
        panel.set_xscale("log")
        panel.set_yscale("log")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(lambda value, position: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
        panel.set_title(title, loc="left", pad=3.0)
    for panel in list(grid.flat)[len(rows) :]:
        panel.set_axis_off()
    for panel in list(grid.flat)[max(0, len(rows) - across) : len(rows)]:
        panel.tick_params(labelbottom=True)
        panel.set_xlabel("true class prior")
    figure.supylabel("estimated class prior", fontsize="medium")
    shown = sorted(handles)
    legend_below(figure, [handles[i] for i in shown], [names[i] for i in shown], width)
    return Drawing(
        name="priors",
        caption="Estimated against true test prior, a point per class, mean over draws and seeds;"
        f" estimates below {_FLOOR:g} are drawn there. On the line the estimate is exact.{left_out}",
        figure=figure,
        head=("method", "distribution", "class", "true", "estimated"),
        data=tuple(data),
    )


def _three(tests: tuple[TestSet, ...]) -> list[TestSet]:
    """The strongest forward shift, the middle and the strongest backward one."""
    places = sorted({0, len(tests) // 2, len(tests) - 1}) if tests else []
    return [tests[place] for place in places]
