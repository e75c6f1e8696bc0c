"""What a file of this folder offers: a kind of figure, and its place in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ltbench.report.figures.drawing import Drawing
from ltbench.report.figures.style import Look
from ltbench.report.rows.sections import Section


@dataclass(frozen=True)
class FigureKind:
    """``draw(section, looks)``: None where there is nothing to show. ``place``: the order.

    A module of this folder offers its figures as ``FIGURES: tuple[FigureKind, ...]``; no other file
    names them.
    """

    place: int
    draw: Callable[[Section, Mapping[str, Look]], Drawing | None]
