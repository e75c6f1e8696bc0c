"""One folder of the report: a section of the records, or the overview of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltbench.report.sections import Section
from ltbench.report.tables import Table

if TYPE_CHECKING:
    from ltbench.report.figures import Drawing


@dataclass(frozen=True)
class Part:
    """``folder`` is also its anchor on the page; ``section`` is absent for the overview."""

    folder: str
    title: str
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    section: Section | None = None
