"""Performance profiles and the critical-difference diagram."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import matplotlib
import numpy as np

from ltbench.report.figures.drawing import (
    Drawing,
    legend_below,
    legend_height,
    new_figure,
    short_labels,
    wrapped_labels,
)
from ltbench.report.figures.rows import MOST
from ltbench.report.figures.style import RC, Look
from ltbench.report.statistics.aggregate import (
    SMALLEST_BLOCKS,
    critical_difference,
    mean_ranks,
    profile,
)
from ltbench.report.tables.overview import Overview


def overview_figures(
    overview: Overview, looks: Mapping[str, Look]
) -> list[Callable[[], Drawing | None]]:
    """Each draws one; None where there is nothing to show."""

    def profile() -> Drawing:
        with matplotlib.rc_context(RC):
            return profile_figure(overview, looks)

    def difference() -> Drawing | None:
        with matplotlib.rc_context(RC):
            return difference_figure(overview)

    return [profile, difference]


def profile_figure(overview: Overview, looks: Mapping[str, Look]) -> Drawing:
    """Share of runs above each accuracy; a curve above another everywhere is better everywhere."""
    ranks = dict(zip(overview.scores, mean_ranks(overview.blocks), strict=True))
    labels = sorted(sorted(overview.scores, key=lambda label: ranks[label])[:MOST])
    thresholds = np.linspace(0.0, 100.0, 201)
    names = short_labels(labels)
    figure = new_figure(2.1 + legend_height(names))
    axes = figure.add_subplot()
    lines = []
    data: list[tuple[object, ...]] = []
    for place, label in enumerate(labels):
        share = profile(overview.scores[label], thresholds)
        look = looks[label]
        lines += axes.plot(
            thresholds, share, color=look.colour, linestyle=look.line, marker=look.marker,
            markevery=(place * 25 // len(labels), 25),
        )  # fmt: skip
        data += [(label, t, s) for t, s in zip(thresholds.tolist(), share.tolist(), strict=True)]
    axes.set_xlabel("top-1 accuracy (%)")
    axes.set_ylabel("share of runs above it")
    legend_below(figure, lines, names)
    some = f" Shown are the {MOST} with the best mean rank." if len(overview.scores) > MOST else ""
    return Drawing(
        name="profiles",
        caption="Performance profiles: share of the runs (seeds of every distribution of every data"
        f" set, distributions weighted alike) with an accuracy above the abscissa.{some}",
        figure=figure,
        head=("method", "accuracy", "share"),
        data=tuple(data),
    )


def difference_figure(overview: Overview) -> Drawing | None:
    """Mean ranks on a line; bars join what Nemenyi's test can not tell apart.

    Only from eight independent data sets on: below, the difference spans most of the ranks.
    """
    blocks, methods = overview.blocks.shape
    if blocks < SMALLEST_BLOCKS or methods < 3:
        return None
    from scipy.stats import friedmanchisquare

    ranks = mean_ranks(overview.blocks)
    distance = critical_difference(methods, blocks)
    p = float(friedmanchisquare(*overview.blocks.T).pvalue)
    order = np.argsort(ranks, kind="stable")
    labels = list(overview.scores)
    figure = new_figure(0.7 + 0.17 * methods)
    axes = figure.add_subplot()
    for y, index in enumerate(order):
        axes.plot([ranks[index]], [y], "o", color="black")
        axes.plot([ranks[index], ranks[index] + distance], [y, y], color="#777777", linewidth=0.8)
    axes.set_yticks(range(methods), wrapped_labels([labels[i] for i in order], 26))
    axes.invert_yaxis()
    axes.set_xlabel(f"mean rank (bar: critical difference {distance:.2f})")
    return Drawing(
        name="critical-difference",
        caption=f"Mean ranks over {blocks} independent data sets (Friedman test p = {p:.3g});"
        f" methods whose ranks are nearer than {distance:.2f} cannot be told apart (Nemenyi, 5 %):"
        " those inside a method's bar are not worse than it.",
        figure=figure,
        head=("method", "mean_rank"),
        data=tuple((labels[i], float(ranks[i])) for i in order),
    )
