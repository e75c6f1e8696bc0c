"""One folder of the report: a section of the records, or the overview of all of them."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.report.page.picture import Picture
from ltbench.report.rows.sections import Section
from ltbench.report.tables.table import Table

RESERVED = ("main", "data")  # ids of the page itself


@dataclass(frozen=True)
class Part:
    """``section`` is absent for the overview."""

    folder: str
    title: str
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    section: Section | None = None

    @property
    def anchor(self) -> str:
        """Its id on the page: the folder's name, unless that is an id of the page itself.

        No folder has an underscore: ids with one are the page's, and made of an anchor and what
        it is (``digits-lt_title``).
        """
        return f"{self.folder}_part" if self.folder in RESERVED else self.folder
