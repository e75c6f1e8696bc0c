"""Labels at the ends of lines: nobody has to carry a colour over from a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from matplotlib.text import Text

from ltbench.report.figures.drawing import drawing_settings, small_text, wrapped_labels
from ltbench.report.figures.style import ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

LONGEST = 20  # characters of a line of a label: more would leave no room for the plot
_BESIDE = 4.0  # points from the end of a line to its label
_LEADER = 6.0  # points more in axes where a label stands above or below the end of its line
_MOVED = 2.0  # points: below, no leader is needed
_APART = 0.6  # points between two labels


@dataclass(frozen=True)
class End:
    """The label of one line and the last of its points, in data coordinates."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


def line_end(
    text: str, x: Sequence[float], y: Sequence[float], colour: str, *, bold: bool = False
) -> End | None:
    """The last point that is there; ``None`` where the line has none."""
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
    return End(text, *points[-1], colour, bold) if points else None


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Centres next to the wanted ones (least squares) of labels that do not overlap.

    The order is that of ``wanted``. With the room that the labels below take up subtracted, "no overlap"
    reads "not decreasing": isotonic regression, here by pooling neighbours that violate it. Bounded by
    ``[low, high]`` as far as all fit in there.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    if not order:
        return []
    offsets = [0.0]
    for i, j in pairwise(order):
        offsets.append(offsets[-1] + (heights[i] + heights[j]) / 2)
    pools: list[list[float]] = []
    for i, offset in zip(order, offsets, strict=True):
        pools.append([wanted[i] - offset])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    lowest = low + heights[order[0]] / 2
    highest = max(lowest, high - heights[order[-1]] / 2 - offsets[-1])
    flat = [min(max(_mean(pool), lowest), highest) for pool in pools for _ in pool]
    places = dict(zip(order, (f + o for f, o in zip(flat, offsets, strict=True)), strict=True))
    return [places[i] for i in range(len(wanted))]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def label_ends(figure: Figure, panels: Sequence[tuple[Axes, Sequence[End | None]]]) -> None:
    """Writes the labels right of the axes, and lays the figure out to know how much room there is.

    The last thing to do with a figure: limits that change later move the lines, not the labels.
    """
    written = [(axes, _write(axes, [end for end in ends if end])) for axes, ends in panels]
    with drawing_settings():
        figure.draw_without_rendering()
    for axes, labels in written:
        _move(axes, labels, 72 / figure.dpi)


def _write(axes: Axes, ends: Sequence[End]) -> list[Annotation]:
    """Each beside the end of its line; their widths are what the layout has to know."""
    return [
        axes.annotate(
            text,
            (end.x, end.y),
            xytext=(_BESIDE + _LEADER, 0.0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=ink(end.colour),
            fontsize=small_text(),
            fontweight="bold" if end.bold else "normal",
            linespacing=0.95,
            annotation_clip=False,
            gid="end",
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "linewidth": 0.5,
                "shrinkA": 0.0,
                "shrinkB": 2.0,
                "relpos": (0.0, 0.5),
            },
        )
        for end, text in zip(ends, wrapped_labels([e.text for e in ends], LONGEST), strict=True)
    ]


def _move(axes: Axes, labels: Sequence[Annotation], points: float) -> None:
    """``points``: of one pixel."""
    right, low, high = (points * v for v in (axes.bbox.x1, axes.bbox.y0, axes.bbox.y1))
    ends = [points * axes.transData.transform(label.xy) for label in labels]
    # That of an annotation would count its leader.
    heights = [points * Text.get_window_extent(label).height + _APART for label in labels]
    centres = spread([float(y) for _, y in ends], heights, low, high)
    moved = [abs(c - y) > _MOVED for c, (_, y) in zip(centres, ends, strict=True)]
    beside = _BESIDE + (_LEADER if any(moved) else 0.0)
    for label, (x, y), centre, far in zip(labels, ends, centres, moved, strict=True):
        label.set_position((max(0.0, right - x) + beside, centre - y))
        if label.arrow_patch is not None:
            label.arrow_patch.set_visible(far or right - x > 2 * _BESIDE)
