"""All figures of a section, found by folder: every module that offers ``FIGURES``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import matplotlib

from ltbench.plugins.members import placed_members
from ltbench.report.figures.drawing import Drawing
from ltbench.report.figures.kind import FigureKind
from ltbench.report.figures.style import RC, Look
from ltbench.report.rows.sections import Section


def build_figures(section: Section, looks: Mapping[str, Look]) -> list[Drawing]:
    """All figures that have something to show, in the order of the report."""
    drawings = [build_figure(kind, section, looks) for kind in figure_kinds()]
    return [drawing for drawing in drawings if drawing is not None]


def build_figure(kind: FigureKind, section: Section, looks: Mapping[str, Look]) -> Drawing | None:
    with matplotlib.rc_context(RC):
        return kind.draw(section, looks)


@cache
def figure_kinds() -> tuple[FigureKind, ...]:
    """In the order of the report."""
    return placed_members("ltbench.report.figures", "FIGURES")
