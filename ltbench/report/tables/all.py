"""All tables of a section, found by folder: every module that offers ``TABLES``."""

from __future__ import annotations

from functools import cache

from ltbench.plugins.members import members
from ltbench.report.rows.sections import Section
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.table import Table


def build_tables(section: Section, ltbench_version: str) -> list[Table]:
    """Those that have something to show, in the order of the report."""
    tables = (kind.build(section, ltbench_version) for kind in table_kinds())
    return [table for table in tables if table is not None]


@cache
def table_kinds() -> tuple[TableKind, ...]:
    """In the order of their places; two of one place would have no order."""
    kinds = sorted(members("ltbench.report.tables", "TABLES"), key=lambda kind: kind.place)
    places = [kind.place for kind in kinds]
    assert len(set(places)) == len(places), f"two tables have one place: {places}"
    return tuple(kinds)
