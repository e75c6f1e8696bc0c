"""Methods as their papers have them over the shift: one panel that is read in three seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ltbench.report.figures.drawing import Drawing, new_figure
from ltbench.report.figures.ends import label_ends, line_end
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.lines import (
    KNOWING,
    SHIFT_AXIS,
    SHIFT_HEAD,
    deviations,
    draw_line,
    points_of,
    shift_axis,
    shift_rows,
    within_per_cent,
)
from ltbench.report.figures.panels import LINES, drawable, left_out, mean_accuracy
from ltbench.report.figures.style import Look
from ltbench.report.rows.position import position
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section

_RANGE = "from the lowest to the highest accuracy of a seed and draw"
_SPREAD = "bands are one standard deviation over seeds and draws to either side"
_DOTTED = " Dotted: knows the true test prior."


def methods_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Each method with its own strategy, the oracle of the best one behind them.

    Nothing where ``accuracy-over-shift`` is this picture already, or there are no two methods.
    """
    rows = drawable(section.rows)
    own = [row for row in rows if row.is_own and not row.uses_true_prior]
    if len(section.shifts) < 2 or len(own) < 2 or one_row_each(rows):
        return None
    shown = with_best_oracle(own, section)
    return draw_methods(section, looks, "methods-over-shift", shown, own, spread=True)


def one_row_each(rows: Sequence[Row]) -> bool:
    """Whether every method has a single row, its oracle aside."""
    methods = [(row.method, row.training) for row in rows if not row.uses_true_prior]
    return len(methods) == len(set(methods))


def with_best_oracle(rows: Sequence[Row], section: Section) -> list[Row]:
    """The best rows, and of the best one that has an oracle the oracle; :data:`LINES` in all."""
    tests = section.shifts
    best = sorted(rows, key=lambda row: -mean_accuracy(row, tests))
    told = [row for row in drawable(section.rows) if row.uses_true_prior]
    oracle = next((o for o in told if best and o.training == best[0].training), None)
    chosen = best[: LINES - (oracle is not None)]
    found = [row for row in rows if row in chosen]
    return found if oracle is None else [*found, oracle]


def draw_methods(
    section: Section,
    looks: Mapping[str, Look],
    name: str,
    rows: Sequence[Row],
    among: Sequence[Row],
    *,
    spread: bool = False,
) -> Drawing:
    """One panel of at most :data:`LINES` lines with their labels at their ends.

    among: the rows these were chosen from; spread: bands of single draws rather than intervals.
    """
    tests = section.shifts
    figure = new_figure(2.5)
    axes = figure.add_subplot()
    x = [position(test) for test in tests]
    data: list[tuple[object, ...]] = []
    ends = []
    for row in rows:
        points = points_of(row, tests)
        band = deviations(row, tests, points) if spread else points.band
        look = KNOWING if row.uses_true_prior else looks[row.label]
        draw_line(axes, tests, points.y, look, None if row.uses_true_prior else band)
        ends.append(line_end(row.label, x, points.y, look.colour))
        data += shift_rows(row, tests, points)
    shift_axis(axes, tests, 2.3)
    within_per_cent(axes)
    figure.supxlabel(SHIFT_AXIS, fontsize="medium")  # wider than the axes
    axes.set_ylabel("top-1 accuracy (%)")
    label_ends(figure, [(axes, ends)])
    dotted = _DOTTED if any(row.uses_true_prior for row in rows) else ""
    bands = _SPREAD if spread else band_text(rows, section)
    return Drawing(
        name=name,
        caption=f"Top-1 accuracy over the test label distributions, mean over draws and seeds;"
        f" {bands}.{dotted}{left_out(among, rows)}",
        figure=figure,
        head=SHIFT_HEAD,
        data=tuple(data),
    )


def band_text(rows: Sequence[Row], section: Section) -> str:
    """What the bands are: intervals, ranges where there are too few seeds, or some of both."""
    few = [points_of(row, section.shifts).ranged for row in rows if not row.uses_true_prior]
    if all(few):
        return f"bands run {_RANGE} (fewer than three seeds)"
    rest = f"; below three seeds they run {_RANGE}" if any(few) else ""
    return f"bands are 95 % t intervals over seeds{rest}"


FIGURES = (FigureKind(15, methods_figure),)
