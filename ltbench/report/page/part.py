"""One folder of the report: a section of the records, or the overview of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltbench.report.rows.sections import Section
from ltbench.report.tables.table import Table

if TYPE_CHECKING:
    from ltbench.report.figures.drawing import Drawing


RESERVED = ("main", "data")  # ids of the page itself


@dataclass(frozen=True)
class Part:
    """``section`` is absent for the overview."""

    folder: str
    title: str
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    section: Section | None = None

    @property
    def anchor(self) -> str:
        """Its id on the page: the folder's name, unless that is an id of the page itself.

        No folder has an underscore: ids with one are the page's, and made of an anchor and what
        it is (``digits-lt_title``).
        """
        return f"{self.folder}_part" if self.folder in RESERVED else self.folder
