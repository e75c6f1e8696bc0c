"""Accuracy against cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from matplotlib.transforms import ScaledTranslation

from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    short_labels,
)
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.lines import within_per_cent
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.style import Look
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import summarise
from ltbench.report.tables.cost import macs, training_seconds
from ltbench.report.tables.shift import mean_over

APART = 5.0  # points


def _asides(rows: Sequence[Row]) -> dict[str, float]:
    """How many points each label stands aside.

    Strategies of one training share one x and nearly one y.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.label != row.method):
        members[row.method].append(row.label)
    return {
        label: APART * (k - (len(labels) - 1) / 2)
        for labels in members.values()
        for k, label in enumerate(labels)
    }


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
    names = short_labels([row.label for row, _, _ in points])
    figure = new_figure(2.1 + legend_height(names))
    axes = figure.add_subplot()
    handles = []
    asides = _asides([row for row, _, _ in points])
    for row, x, y in points:
        look = looks[row.label]
        shift = ScaledTranslation(asides[row.label] / 72, 0, figure.dpi_scale_trans)
        point, _, _ = axes.errorbar(
            [x],
            [y.mean],
            yerr=None if y.half_width is None else [y.half_width],
            color=look.colour,
            marker=look.marker,
            markersize=5,
            fillstyle=look.fill,
            markerfacecoloralt="white",
            transform=axes.transData + shift,
            linestyle="none",
            elinewidth=0.8,
            capsize=2,
        )
        handles.append(point)  # without its whiskers, which would touch those of the next entry
    # A shifted transform does not tell the axes its data.
    widths = [y.half_width or 0.0 for _, _, y in points]
    ends = [
        (x, y.mean + s * w) for (_, x, y), w in zip(points, widths, strict=True) for s in (-1, 1)
    ]
    axes.update_datalim(ends)
    axes.autoscale_view()
    within_per_cent(axes)
    unit = "MACs of one image (millions)" if by_macs else "training time (s, wall clock)"
    axes.set_xlabel(unit)
    axes.set_ylabel("mean top-1 accuracy (%)")
    axes.set_xlim(0, 1.15 * max(x for _, x, _ in points))  # room for those that stand aside
    legend_below(figure, handles, names)
    what = "multiply-accumulates of one test image" if by_macs else "wall time of one training"
    return Drawing(
        name="accuracy-over-cost",
        caption=f"Top-1 accuracy, mean over the test label distributions, against {what}; whiskers"
        f" are 95 % t intervals over seeds (none below three seeds)."
        f" Strategies of one method stand side by side at one cost.{left_out}",
        figure=figure,
        head=("method", "macs_millions", "training_seconds", "mean_top1", "half_width", "n"),
        data=tuple(
            (row.label, macs(row), training_seconds(row), y.mean, y.half_width, y.n)
            for row, _, y in points
        ),
    )


FIGURES = (FigureKind(90, cost_figure),)
