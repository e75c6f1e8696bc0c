"""What of a report is shown: methods, columns, blocks and decimals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ltbench.errors import InputError, nearest

if TYPE_CHECKING:  # the command line's help needs the names below and nothing behind them
    from ltbench.report.rows.sections import Section
    from ltbench.report.tables.table import Block, Column, Table

GROUPINGS = ("method", "strategy")


@dataclass(frozen=True)
class Selection:
    """``methods``: labels of rows or names of methods; ``columns``: headers or CSV names.

    Empty selects everything. ``decimals`` are those of accuracies; columns that have more by
    nature keep their surplus.
    """

    methods: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    group_by: str = ""
    decimals: int | None = None

    def __post_init__(self) -> None:
        if self.group_by and self.group_by not in GROUPINGS:
            raise InputError(f"group-by is {self.group_by!r}; it must be one of {GROUPINGS}")
        if self.decimals is not None and not 0 <= self.decimals <= 6:
            raise InputError(f"decimals is {self.decimals}; it must be from 0 to 6")


def select_rows(sections: Iterable[Section], chosen: Selection) -> list[Section]:
    """Sections with the chosen rows; those without any are left out.

    Raises :class:`InputError` for a name that no section has.
    """
    sections = [replace(section, group_by=chosen.group_by) for section in sections]
    if not chosen.methods:
        return sections
    known = {name for section in sections for r in section.rows for name in (r.label, r.method)}
    _refuse_unknown("method", chosen.methods, known)
    wanted = set(chosen.methods)
    found = []
    for section in sections:
        rows = tuple(r for r in section.rows if wanted & {r.label, r.method})
        hidden = tuple(r for r in section.rows if not wanted & {r.label, r.method})
        if rows:
            note = f"{len(hidden)} of {len(section.rows)} rows are not shown; comparisons are"
            notes = (*section.notes, f"{note} among those shown") if hidden else section.notes
            found.append(replace(section, rows=rows, hidden=hidden, notes=notes))
    return found


def check_columns(tables: Iterable[Table], chosen: Selection) -> None:
    """Raises :class:`InputError` for a column that no table has."""
    columns = [column for table in tables for column in table.columns if _can_go(column)]
    known = {name for column in columns for name in (column.key, column.header)}
    _refuse_unknown("column", chosen.columns, known)


def select_columns(table: Table, chosen: Selection) -> Table:
    """Chosen columns and decimals; a table that has none of the columns stays whole.

    What tells the rows apart (text, expert, number of seeds) stays in any case.
    """
    if chosen.decimals is not None:
        more = chosen.decimals - 1
        columns = tuple(
            replace(c, digits=max(0, c.digits + more)) if _is_score(c) else c for c in table.columns
        )
        table = replace(table, columns=columns)
    wanted = {name.casefold() for name in chosen.columns}
    hits = [bool(wanted & {c.key.casefold(), c.header.casefold()}) for c in table.columns]
    if not any(hits):
        return table
    kept = [i for i, c in enumerate(table.columns) if hits[i] or not _can_go(c)]
    caption = table.caption
    for i, column in enumerate(table.columns):
        if i not in kept and column.explained:
            caption = caption.replace(column.explained, "")
    columns = tuple(table.columns[i] for i in kept)
    stored = None if table.stored is None else _kept(table.stored, kept)
    blocks = _kept(table.blocks, kept)
    return replace(table, caption=caption, columns=columns, blocks=blocks, stored=stored)


def _kept(blocks: Iterable[Block], kept: Sequence[int]) -> tuple[Block, ...]:
    return tuple(
        replace(block, rows=tuple(tuple(row[i] for i in kept) for row in block.rows))
        for block in blocks
    )


def _can_go(column: Column) -> bool:
    return not column.text and column.key not in ("expert", "n")


def _is_score(column: Column) -> bool:
    return _can_go(column) and column.digits > 0


def _refuse_unknown(what: str, names: Sequence[str], known: set[str]) -> None:
    folded = {name.casefold() for name in known}
    for name in names:
        if name.casefold() not in folded or (what == "method" and name not in known):
            close = nearest(name, sorted(known))
            listed = ", ".join(sorted(known)[:20])
            raise InputError(f"no {what} {name!r} in this report{close} (found: {listed})")
