"""All tables of a section, found by folder: every module that offers ``TABLES``."""

from __future__ import annotations

from functools import cache

from ltbench.plugins.members import placed_members
from ltbench.report.rows.sections import Section
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.table import Table


def build_tables(section: Section, ltbench_version: str) -> list[Table]:
    """Those that have something to show, in the order of the report."""
    tables = (kind.build(section, ltbench_version) for kind in table_kinds())
    return [table for table in tables if table is not None]


@cache
def table_kinds() -> tuple[TableKind, ...]:
    """In the order of the report."""
    return placed_members("ltbench.report.tables", "TABLES")
