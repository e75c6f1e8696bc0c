"""Accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping

from ltbench.report.contents_cost import macs, training_seconds
from ltbench.report.contents_shift import mean_over
from ltbench.report.figures import Drawing, legend_below, legend_height, new_figure, short_label
from ltbench.report.figures_rows import leading_rows
from ltbench.report.sections import Section
from ltbench.report.statistics import summarise
from ltbench.report.style import Look


def cost_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """Mean accuracy over the distributions against MACs, or training time where they are unknown."""
    pick = mean_over(section.shifts)
    rows, left_out = leading_rows(
        [r for r in section.rows if not r.uses_true_prior and pick(r)], section
    )
    by_macs = bool(rows) and all(macs(row) is not None for row in rows)
    points = []
    for row in rows:
        x = macs(row) if by_macs else training_seconds(row)
        y = summarise(pick(row).values())
        if x is not None and y is not None:
            points.append((row, x, y))
    if len(points) < 2 or len(section.shifts) < 2:
        return None
    names = [short_label(row.label) for row, _, _ in points]
    figure = new_figure(2.1 + legend_height(names))
    axes = figure.add_subplot()
    handles = []
    for row, x, y in points:
        look = looks[row.label]
        # Strategies of one training lie on one x: filled for a bare method, hollow for the others.
        bare = row.label == row.method
        handles.append(
            axes.errorbar(
                [x],
                [y.mean],
                yerr=None if y.half_width is None else [y.half_width],
                color=look.colour,
                marker=look.marker,
                markersize=5,
                markerfacecolor=look.colour if bare else "white",
                linestyle="none",
                elinewidth=0.8,
                capsize=2,
            )
        )
    unit = "MACs of one image (millions)" if by_macs else "training time (s, wall clock)"
    axes.set_xlabel(unit)
    axes.set_ylabel("mean top-1 accuracy (%)")
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    legend_below(figure, handles, names)
    what = "multiply-accumulates of one test image" if by_macs else "wall time of one training"
    return Drawing(
        name="accuracy-over-cost",
        caption=f"Top-1 accuracy, mean over the test label distributions, against {what}; whiskers"
        f" are 95 % t intervals over seeds (none below three seeds).{left_out}",
        figure=figure,
        head=("method", "macs_millions", "training_seconds", "mean_top1", "half_width", "n"),
        data=tuple(
            (row.label, macs(row), training_seconds(row), y.mean, y.half_width, y.n)
            for row, _, y in points
        ),
    )
