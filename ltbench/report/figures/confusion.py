"""Which classes are taken for which: a matrix of up to fifty, beyond that the worst pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray

from ltbench.report.figures.drawing import Drawing, new_figure, short_labels, wrapped_labels
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.panels import mean_accuracy
from ltbench.report.figures.style import COLUMN_WIDTH
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.statistics.by_class import arrays_of, total_confusion
from ltbench.report.tables.classes import shown_by_class
from ltbench.trial.sparse_counts import Confusion, cells_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

MOST_CLASSES = 50  # of a matrix; more cannot be named
FEW = 12  # classes up to which cells hold their number, and rows stand side by side
PANELS = 4
PAIRS = 15
LONGEST = 32  # characters of a class's name; longer ones are shortened in their middle
_TICKS = (0, 1, 5, 20, 50, 100)  # per cent
_TITLE_CHARACTER = 0.062  # inches
_HEAD = ("method", "true", "predicted", "images", "share")
_WIDE = 2 * COLUMN_WIDTH + 0.16  # inches: the text of a page of two columns


def confusion_figure(section: Section) -> Drawing | None:
    """Shares of the images of each class on the uniform test set, all seeds together."""
    uniform, classes = section.uniform, len(section.class_names)
    if uniform is None:
        return None
    found: dict[str, Confusion] = {}
    candidates = [row for row in section.rows if shown_by_class(row) and uniform in row.results]
    for row in candidates:
        arrays = arrays_of(row, uniform, classes)
        if arrays:
            found[row.label] = total_confusion(list(arrays.values()))
    rows = [row for row in candidates if row.label in found]
    if not rows:
        return None
    shown = _leading(rows, section, PANELS if classes <= FEW else 1)
    order = sorted(range(classes), key=lambda c: section.rank[c])
    if classes > MOST_CLASSES:
        return _pairs(section, shown[0], found[shown[0].label], len(rows))
    names = short_names([section.class_names[c] for c in order])
    figure, grid, mesh = _grid(len(shown), names), [], None
    across = min(2, len(shown))
    fitting = int((figure.get_figwidth() - 0.9 - _room(names)) / across / _TITLE_CHARACTER)
    titles = wrapped_labels([row.label for row in shown], max(8, fitting))
    axes = figure.subplots(
        -(-len(shown) // across), across, sharex=True, sharey=True, squeeze=False
    )
    for panel, row, title in zip(axes.flat, shown, titles, strict=False):
        counts = found[row.label]
        assert isinstance(counts, np.ndarray)  # of few classes
        mesh = _matrix(panel, counts[np.ix_(order, order)], names)
        panel.set_title(title, loc="left", pad=3.0)
        grid.append(panel)
    for panel in list(axes.flat)[len(shown) :]:
        panel.set_axis_off()
    for panel in list(axes.flat)[max(0, len(shown) - across) : len(shown)]:
        panel.tick_params(labelbottom=True)
    assert mesh is not None
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05, aspect=30, pad=0.02, ticks=_TICKS)
    bar.ax.set_title("%", pad=3.0)
    bar.outline.set_linewidth(0.6)
    figure.supxlabel("predicted class", fontsize="medium")
    figure.supylabel("true class (most frequent in training first)", fontsize="medium")
    return Drawing(
        name="confusion",
        caption="What images of each class are taken for on the uniform test set: shares of the class's"
        f" images, all seeds together; colours by the square root.{_told(shown, len(rows))}",
        figure=figure,
        head=_HEAD,
        data=tuple(line for row in shown for line in _data(section, row, found[row.label])),
    )


def _leading(rows: Sequence[Row], section: Section, most: int) -> list[Row]:
    """Those of the best mean over the shift, in their own order."""
    best = sorted(rows, key=lambda row: -mean_accuracy(row, section.shifts))[:most]
    return [row for row in rows if row in best]


def _told(shown: Sequence[Row], of: int) -> str:
    """A sentence, empty where nothing is left out."""
    if len(shown) == of:
        return ""
    named = ", ".join(row.label for row in shown)
    return f" Shown: {named}, of {of} rows, the best mean over the shift."


def _grid(panels: int, names: Sequence[str]) -> Figure:
    """As large as its cells and names need, and no wider than a page."""
    classes, across = len(names), min(2, panels)
    down = -(-panels // across)
    room = _room(names)
    cell = 0.2 if classes <= FEW else min(0.16, 5.0 / classes)
    width = min(_WIDE, max(COLUMN_WIDTH, 0.9 + room + across * (max(1.1, cell * classes) + 0.15)))
    height = 0.5 + room + down * (max(0.8, cell * classes) + 0.25)
    return new_figure(height, width)


def _room(names: Sequence[str]) -> float:
    """Inches of the longest name."""
    return 0.055 * max(len(name) for name in names) * _font(len(names)) / 7.0


def _common(texts: Sequence[str]) -> int:
    """Characters that all begin with, in whole words."""
    columns = zip(*texts, strict=False)  # as far as the shortest
    alike = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    while alike and texts[0][alike - 1].isalnum():
        alike -= 1
    return alike


def short_names(names: Sequence[str]) -> list[str]:
    """As :func:`short_labels`, but names that differ only in their middle keep that rather than a digest."""
    short = short_labels(names, LONGEST)
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        if len(name) > LONGEST:
            alike[name[:6], name[-6:]].append(place)
    for places in alike.values():
        if len(places) < 2:
            continue
        members = [names[place] for place in places]
        before = _common(members)
        after = _common([name[before:][::-1] for name in members])
        for place, name in zip(places, members, strict=True):
            own = name[before : len(name) - after]
            if len(own) <= LONGEST - 10:
                short[place] = f"{name[: min(before, LONGEST - len(own) - 2)].rstrip()}…{own}…"
    return short


def _font(classes: int) -> float:
    return 7.0 if classes <= 25 else 5.0


def _matrix(axes: Axes, confusion: NDArray[np.int64], names: Sequence[str]) -> QuadMesh:
    """The scale is that of all matrices: from 0 to 100 % of the images of a class.

    Colours go by the square root, or a confusion of 5 % could not be seen beside a recall of 90 %.
    """
    shares, classes = _shares(confusion), len(names)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(shares), cmap="Blues", norm=PowerNorm(0.5, 0, 100), edgecolors="none"
    )
    axes.set_facecolor("#DDDDDD")  # a class without test images
    places = np.arange(classes) + 0.5
    axes.set_xticks(places, names, rotation=90, fontsize=_font(classes))
    axes.set_yticks(places, names, fontsize=_font(classes))
    axes.tick_params(length=0, pad=2)
    axes.grid(False)
    axes.set_ylim(classes, 0)
    axes.set_xlim(0, classes)
    axes.set_aspect("equal")
    if classes <= FEW:
        for i, j in np.argwhere(np.nan_to_num(shares) >= 0.5):
            dark = shares[i, j] > 30
            axes.text(
                *(places[j], places[i], f"{shares[i, j]:.0f}"),
                ha="center",
                va="center",
                fontsize=5.5,
                color="white" if dark else "black",
            )
    return mesh


def _shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per cent of each row; NaN where a class has no image."""
    total = confusion.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.where(
        total > 0, 100.0 * confusion / np.maximum(total, 1), np.nan
    )
    return shares


def _pairs(section: Section, row: Row, confusion: Confusion, of: int) -> Drawing:
    """The pairs of the highest shares, as bars; the file has all pairs."""
    mistakes = [(share, i, j) for i, j, _, share in _cells(confusion) if i != j]
    mistakes.sort(key=lambda one: -one[0])  # stable: of equal shares the first pair
    wrong = {(i, j): share for share, i, j in mistakes[:PAIRS]}
    pairs = list(wrong)
    names = short_names(section.class_names)
    labels = [f"{names[true]} → {names[predicted]}" for true, predicted in pairs]
    longest = max((len(label) for label in labels), default=1)
    width = min(_WIDE, max(COLUMN_WIDTH, 2.0 + 0.055 * longest))
    figure = new_figure(0.55 + 0.16 * max(1, len(pairs)), width)
    axes = figure.add_subplot()
    axes.barh(range(len(pairs)), [wrong[pair] for pair in pairs], color="#0072B2", height=0.7)
    axes.set_yticks(range(len(pairs)), labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    axes.set_xlim(0, min(100.0, 1.05 * max((wrong[pair] for pair in pairs), default=1.0)))
    figure.supxlabel("images of the true class taken for the other (%)", fontsize="medium")
    return Drawing(
        name="confusion",
        caption=f"The {len(pairs)} pairs of classes (true → predicted) that {row.label} confuses most on"
        f" the uniform test set, all seeds together.{_told([row], of)}",
        figure=figure,
        head=_HEAD,
        data=tuple(_data(section, row, confusion)),
    )


def _data(section: Section, row: Row, confusion: Confusion) -> Iterator[tuple[object, ...]]:
    for i, j, count, share in _cells(confusion):
        yield (row.label, section.class_names[i], section.class_names[j], count, share)


def _cells(confusion: Confusion) -> Iterator[tuple[int, int, int, float]]:
    """True class, predicted class, images and their share in per cent, of all that occurs."""
    true, predicted, counts = cells_of(confusion)
    shares = 100.0 * counts / confusion.sum(axis=1)[true]
    yield from zip(true.tolist(), predicted.tolist(), counts.tolist(), shares.tolist(), strict=True)


FIGURES = (FigureKind(25, lambda section, looks: confusion_figure(section)),)
