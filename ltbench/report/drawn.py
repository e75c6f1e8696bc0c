"""Which figures a report may have, each drawn when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltbench.report.content import joined_content, section_content
from ltbench.report.figures.style import Look
from ltbench.report.helpers import Task
from ltbench.report.page.picture import Picture, picture_of
from ltbench.report.rows.sections import Section
from ltbench.report.tables.overview import FOLDER, Overview

if TYPE_CHECKING:
    from ltbench.report.figures.drawing import Drawing
    from ltbench.report.figures.kind import FigureKind

    Draw = Callable[[], Drawing | None]


@dataclass(frozen=True)
class FigureTask:
    """One figure of the part in ``folder``; the same ``content``: the same bytes."""

    folder: str
    content: str
    draw: Task


def figure_tasks(
    sections: Sequence[Section], overview: Overview | None, looks: Mapping[str, Look]
) -> list[FigureTask]:
    """In the order of the report."""
    from ltbench.report.figures.all import build_figure, figure_kinds
    from ltbench.report.figures.overview import overview_figures

    def of(section: Section, kind: FigureKind) -> Draw:
        return lambda: build_figure(kind, section, looks)

    contents = [section_content(section, looks) for section in sections]
    draws = [
        (section.folder, content, of(section, kind))
        for section, content in zip(sections, contents, strict=True)
        for kind in figure_kinds()
    ]
    if overview is not None:
        folder, content = overview_folder(sections), joined_content(contents)
        draws += [(folder, content, draw) for draw in overview_figures(overview, looks)]
    # Numbered before it is known which have something to show: no process waits for another.
    return [
        FigureTask(folder, joined_content((content, str(number))), _task(draw, number))
        for number, (folder, content, draw) in enumerate(draws, 1)
    ]


def _task(draw: Draw, number: int) -> Task:
    def task() -> Picture | None:
        drawing = draw()
        return None if drawing is None else picture_of(drawing, number)

    return task


def overview_folder(sections: Sequence[Section]) -> str:
    taken = {section.folder.casefold() for section in sections}
    return FOLDER if FOLDER not in taken else f"{FOLDER}-protocols"
