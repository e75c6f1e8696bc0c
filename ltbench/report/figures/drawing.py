"""The figures of a section: PDF and PNG for reading, CSV of what they show beside each."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from ltbench.report.figures.style import COLUMN_WIDTH, FONT_SIZE, RC
from ltbench.report.records.names import digest

DPI = 200
LONGEST = 54  # characters of a label in a legend of one column
_LEGEND_LINE = 0.145  # inches
_CHARACTER = 0.051  # inches: about the width of one at 7 pt


@dataclass(frozen=True)
class Drawing:
    """``name`` is the stem of the files; ``data`` the rows of the CSV under ``head``."""

    name: str
    caption: str
    figure: Figure
    head: tuple[str, ...]
    data: tuple[tuple[object, ...], ...]


def new_figure(height: float, width: float = COLUMN_WIDTH) -> Figure:
    """A figure without pyplot: no window, no global list of open figures, nothing to close."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_columns(labels: Sequence[str], width: float = COLUMN_WIDTH) -> int:
    """As many as fit side by side under the axes."""
    longest = max((len(label) for label in labels), default=1)
    return max(1, min(len(labels), 4, int(width / (0.42 + longest * _CHARACTER))))


def legend_height(labels: Sequence[str], width: float = COLUMN_WIDTH) -> float:
    columns = legend_columns(labels, width)
    return _LEGEND_LINE * -(-len(labels) // columns) + 0.1 if labels else 0.0


def legend_below(
    figure: Figure,
    handles: Sequence[Any],  # artists or containers of them, typed apart by matplotlib
    labels: Sequence[str],
    width: float = COLUMN_WIDTH,
) -> None:
    """Outside the axes, where it hides nothing however many methods there are."""
    if not labels:
        return
    figure.legend(
        handles,
        # matplotlib leaves out labels with a leading underscore; a hair space hides it.
        [f"\u200a{label}" if label.startswith("_") else label for label in labels],
        loc="outside lower center",
        ncols=legend_columns(labels, width),
        columnspacing=1.0,
        handletextpad=0.5,
        labelspacing=0.25,
        borderaxespad=0.2,
    )


@contextmanager
def drawing_settings(**more: Any) -> Iterator[None]:
    """The report's look; ``more`` settings of matplotlib have dots as double underscores."""
    settings: Any = {**RC}  # typed as literals by newer versions of matplotlib
    settings |= {key.replace("__", "."): value for key, value in more.items()}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A name in a script the font lacks prints boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def render(figure: Figure, kind: Literal["pdf", "png", "svg"], file: IO[str] | IO[bytes]) -> None:
    """Writes a figure without date and program, so that the same records give the same file.

    ``Figure.savefig`` draws twice, once for the layout; here that is done once for all formats.
    """
    if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine | None):
        figure.dpi = DPI
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    if kind == "pdf":
        FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None})  # type: ignore[no-untyped-call]
    elif kind == "svg":
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    else:
        figure.dpi = DPI  # the others leave it at 72
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]


def short_labels(labels: Sequence[str], longest: int = LONGEST) -> list[str]:
    """As long as there is room for; strategies differ at the end, so what goes is in the middle.

    Where that leaves two labels alike, both carry a digest.
    """
    cut = [_cut(label, longest) for label in labels]
    return [
        text
        if cut.count(text) == 1 or text == label
        else f"{_cut(label, longest - 7)} {digest(label)}"
        for text, label in zip(cut, labels, strict=True)
    ]


def wrapped_labels(labels: Sequence[str], longest: int) -> list[str]:
    """In two lines where one has no room: the parameters of the strategy in the second."""
    return ["\n".join(_split(label, longest)) for label in short_labels(labels, 2 * longest - 4)]


def _split(label: str, longest: int) -> list[str]:
    if len(label) <= longest:
        return [label]
    ends = [m.end() for m in re.finditer(r"[+,…]|.(?=\[)|.(?=\+)", label)]
    fitting = [end for end in ends if len(label) - longest <= end <= longest]
    # Before a bracket rather than within one.
    at = min(fitting, key=lambda end: (label[end] != "[", -end), default=longest)
    return [label[:at], label[at:]]


def _cut(label: str, longest: int) -> str:
    if len(label) <= longest:
        return label
    tail = longest // 3
    return f"{label[: longest - tail - 1]}…{label[-tail:]}"


def small_text() -> float:
    return FONT_SIZE - 1.0
