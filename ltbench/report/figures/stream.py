"""The figure of streams: accuracy over the course of a stream, one line a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ltbench.report.figures import style
from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    short_labels,
)
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.lines import within_per_cent
from ltbench.report.figures.style import DOTTED, Look
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.streams import (
    Curve,
    StreamRow,
    arrivals_of,
    cumulative,
    mean_curve,
    stream_rows,
    windowed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_HEAD = ("method", "arrival", "order", "distribution", "measure", "share", "top1", "n")
_EVERY = 5  # points from one marker to the next


def stream_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Two panels: adapting in a random order on the strongest shift, following a drift on uniform.

    Of several arrivals the one with the largest batches is drawn; the data hold all of them.
    """
    rows = stream_rows(section.streams)
    panels = _panels(section, rows)
    if not panels:
        return None
    arrival = arrivals_of(rows)[0]
    drawn = [row for row in rows if row.arrival == arrival]
    others = style.looks((row.label, row.method) for row in drawn)
    looks = {**others, **looks}  # a row that has streams alone has no look in the report yet
    names = short_labels([row.label for row in drawn])
    knowing = any(row.uses_true_prior for row in drawn)
    if knowing:
        names.append("(dotted: true prior)")
    figure = new_figure(0.45 + 1.55 * len(panels) + legend_height(names))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    handles: list[Line2D] = []
    for axes, (test, order) in zip(grid.flat, panels, strict=True):
        lines = [
            _draw(axes, row, test, order, looks[row.label], place / len(drawn))
            for place, row in enumerate(drawn)
        ]
        handles = handles or lines
        measure = "so far" if order == "random" else "now"
        axes.set_title(f"{test.short}, {order} order, {arrival}", loc="left", pad=3.0)
        axes.set_ylabel(f"accuracy {measure} (%)")
        axes.margins(x=0.02)
        within_per_cent(axes)
    grid.flat[-1].set_xlabel("share of the stream that has arrived (%)")
    if knowing:
        handles += grid.flat[0].plot([], [], linestyle=DOTTED, linewidth=0.9, color="#777777")
    legend_below(figure, handles, names)
    return Drawing(
        name="accuracy-over-stream",
        caption="Accuracy over the course of a stream, mean over seeds. In a random order: of all"
        " images so far. In a drifting order, from forward to backward: of each twentieth. Dotted:"
        " knows the true prior of the whole stream.",
        figure=figure,
        head=_HEAD,
        data=tuple(_data(section, rows)),
    )


def _panels(section: Section, rows: Sequence[StreamRow]) -> list[tuple[TestSet, str]]:
    """The strongest backward set in random order, the uniform one in drifting order."""
    backward = [test for test in section.shifts if test.kind == "backward"][-1:]
    uniform = [test for test in section.shifts if test.kind == "uniform"]
    wanted = [(test, "random") for test in backward or uniform]
    wanted += [(test, "drifting") for test in uniform]
    return [(t, order) for t, order in wanted if any(row.found(t.name, order) for row in rows)]


def _curve(row: StreamRow, test: str, order: str) -> Curve | None:
    measure = cumulative if order == "random" else windowed
    found = row.found(test, order)
    return mean_curve([measure(stream.correct) for stream in found]) if found else None


def _shares(curve: Curve, order: str) -> Curve:
    """Per cent of the stream: the end of each part for what is so far, else its middle."""
    back = 0.0 if order == "random" else 0.5
    shares: Curve = 100.0 * (np.arange(1, len(curve) + 1) - back) / len(curve)
    return shares


def _draw(axes: Axes, row: StreamRow, test: TestSet, order: str, look: Look, turn: float) -> Line2D:
    """``turn`` in [0, 1): where the first marker stands, so that lines do not share their places."""
    curve = _curve(row, test.name, order)
    shown = np.array([np.nan]) if curve is None else curve
    (line,) = axes.plot(
        _shares(shown, order),
        shown,
        color=look.colour,
        marker=look.marker,
        markevery=(int(turn * _EVERY), _EVERY),
        markerfacecolor="white" if row.uses_true_prior else look.colour,
        linestyle=DOTTED if row.uses_true_prior else look.line,
        linewidth=0.9 if row.uses_true_prior else None,
        clip_on=False,  # a marker at 100 % is a whole one
    )
    return line


def _data(section: Section, rows: Sequence[StreamRow]) -> list[tuple[object, ...]]:
    data: list[tuple[object, ...]] = []
    for row in rows:
        for test in section.shifts:
            for order in ("random", "drifting"):
                curve = _curve(row, test.name, order)
                if curve is None:
                    continue
                measure = "cumulative" if order == "random" else "windowed"
                n = len(row.found(test.name, order))
                data += [
                    (row.label, row.arrival, order, test.name, measure, share, value, n)
                    for share, value in zip(
                        _shares(curve, order).round(3).tolist(), curve.tolist(), strict=True
                    )
                ]
    return data


FIGURES = (FigureKind(40, stream_figure),)
