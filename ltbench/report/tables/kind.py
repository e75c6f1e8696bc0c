"""What a file of this folder offers: a kind of table, and its place in the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ltbench.report.rows.sections import Section
from ltbench.report.tables.table import Table


@dataclass(frozen=True)
class TableKind:
    """``build(section, ltbench_version)``: None where there is nothing to show. ``place``: the order.

    A module of this folder offers its tables as ``TABLES: tuple[TableKind, ...]``; no other file
    names them.
    """

    place: int
    build: Callable[[Section, str], Table | None]
