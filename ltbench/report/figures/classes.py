"""Per-class accuracy on the uniform test set over the training rank of the classes."""

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
    small_text,
)
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.lines import within_per_cent
from ltbench.report.figures.panels import LINES
from ltbench.report.figures.rows import leading_rows
from ltbench.report.figures.style import Look
from ltbench.report.records.schema import GROUPS
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import mean_of
from ltbench.report.statistics.binned import bin_means, rank_bins
from ltbench.report.tables.uniform import recalls_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTTED_ROWS = 3  # the single classes of more rows are a cloud in which nothing is read
FEW_CLASSES = 20  # up to here every class is a tick and nothing is smoothed


def running_mean(values: Sequence[float | None], window: int) -> list[float | None]:
    """Centred mean over ``window`` neighbours, fewer at the ends; gaps are left out of it."""
    half = window // 2
    return [mean_of(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def class_figure(section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    """One line per method; raw for few classes, else smoothed with the raw points behind it.

    Methods that know the true prior are left out: on the uniform set they say little new.
    """
    uniform = section.uniform
    if uniform is None:
        return None
    rows, left_out = leading_rows(
        [row for row in section.rows if not row.uses_true_prior and recalls_of(row, uniform)],
        section,
        most=LINES,
    )
    if not rows:
        return None
    order = sorted(range(len(section.rank)), key=lambda c: section.rank[c])
    bins = rank_bins(order)
    classes = len(bins)  # of which some may be bins of many
    binned = classes < len(order)
    smooth = classes > FEW_CLASSES
    window = max(3, classes // 10) | 1 if smooth else 1
    names = short_labels([row.label for row in rows])
    figure = new_figure(2.45 + legend_height(names))
    axes = figure.add_subplot()
    first = [sum(map(len, bins[:k])) + 1 for k in range(classes)]
    x = [a + (len(members) - 1) / 2 for a, members in zip(first, bins, strict=True)]
    lines = []
    data: list[tuple[object, ...]] = []
    dotted = smooth and len(rows) <= DOTTED_ROWS
    every = max(1, classes // 10) if smooth else 1
    for place, row in enumerate(rows):
        look = looks[row.label]
        raw = _mean_recalls(row, uniform, bins)
        shown = running_mean(raw, window)
        if dotted:
            axes.plot(x, _gaps(raw), ".", color=look.colour, alpha=0.35, markersize=2.8, mew=0)
        lines += axes.plot(
            x,
            _gaps(shown),
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            markevery=(place * every // len(rows), every),  # not all at the same ranks
            clip_on=False,  # a marker at 100 % is a whole one
        )
        data += [
            (
                row.label,
                first[i] + j,
                c,
                section.class_names[c],
                section.train_counts[c],
                raw[i],
                shown[i],
            )
            for i, members in enumerate(bins)
            for j, c in enumerate(members)
        ]
    _groups(axes, section, order)
    _ticks(axes, section, order, smooth=smooth)
    within_per_cent(axes)
    axes.set_ylabel("recall on the uniform set (%)")
    legend_below(figure, lines, names)
    what = "bins" if binned else "classes"
    text = f" Lines: running mean over {window} {what} (fewer at the ends)" if smooth else ""
    text += f"; dots: single {what}." if dotted else "." if smooth else ""
    return Drawing(
        name="accuracy-per-class",
        caption=f"Recall of each class on the uniform test set, mean over seeds, over the training"
        f" rank of the classes (1 = most frequent).{_told_bins(classes, binned)}{text}{left_out}",
        figure=figure,
        head=("method", "rank", "class", "class_name", "train_count", "recall", "shown"),
        data=tuple(data),
    )


def _told_bins(bins: int, binned: bool) -> str:
    if not binned:
        return ""
    return f" Classes stand in {bins} bins by rank; a bin has the mean of its classes' recalls."


def _mean_recalls(row: Row, uniform: str, bins: Sequence[Sequence[int]]) -> list[float | None]:
    found = list(recalls_of(row, uniform).values())
    classes = [c for members in bins for c in members]
    means = {c: mean_of(recalls.per_class[c] for recalls in found) for c in classes}
    return bin_means([means[c] for c in range(len(means))], bins)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _ticks(axes: Axes, section: Section, order: Sequence[int], *, smooth: bool) -> None:
    classes = len(order)
    if smooth:
        # Counts at a few ranks say how long the tail is.
        ranks = sorted({1, *(round(1 + (classes - 1) * k / 5) for k in range(1, 6))})
        axes.set_xticks(ranks, [f"{r}\n({section.train_counts[order[r - 1]]:,})" for r in ranks])
        axes.set_xlabel("class rank (training images)")
    else:
        texts = [f"{section.train_counts[c]:,}" for c in order]
        crowded = max(len(text) for text in texts) * classes > 45
        axes.set_xticks(range(1, classes + 1), texts, rotation=90 if crowded else 0)
        axes.set_xlabel("training images of the class (most frequent first)")
    axes.set_xlim(0.4, classes + 0.6)


def _groups(axes: Axes, section: Section, order: Sequence[int]) -> None:
    """Names the groups above the axes where each is one stretch of ranks."""
    places = {c: i + 1 for i, c in enumerate(order)}
    for number, group in enumerate(GROUPS):
        ranks = sorted(places[c] for c in section.groups[group])
        if not ranks or ranks[-1] - ranks[0] + 1 != len(ranks):
            continue
        if number % 2:
            axes.axvspan(ranks[0] - 0.5, ranks[-1] + 0.5, color="#F4F4F4", zorder=0, linewidth=0)
        axes.annotate(
            group,
            ((ranks[0] + ranks[-1]) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color="#555555",
            fontsize=small_text(),
        )


FIGURES = (FigureKind(20, class_figure),)
