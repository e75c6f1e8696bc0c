"""Tables as Markdown (rounded, for reading) and CSV (full precision, for computing)."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence

from ltbench.report.rows.summary import Summary
from ltbench.report.tables.table import Column, Shown, Table, Value, printed


def escape_markdown(text: str) -> str:
    """One line that prints as it is, inside a table too."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", flat)


def render_markdown(table: Table) -> str:
    """A pipe table with caption and notes."""
    head = [escape_markdown(column.header) for column in table.columns]
    rule = [":---" if column.text else "---:" for column in table.columns]
    lines = [f"**{escape_markdown(table.title)}**", "", _pipe(head), _pipe(rule)]
    for block in table.blocks:
        if block.title:
            title = f"*{escape_markdown(block.title)}:*"
            lines.append(_pipe([title, *[""] * (len(table.columns) - 1)]))
        for row in block.rows:
            pairs = zip(row, table.columns, strict=True)
            lines.append(_pipe([_cell(value, column.digits) for value, column in pairs]))
    lines += ["", escape_markdown(table.caption)]
    for note in table.notes:
        lines += ["", escape_markdown(note)]
    return "\n".join(lines) + "\n"


def _pipe(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Value, digits: int) -> str:
    cell = printed(value, digits)
    text = escape_markdown(cell.main)
    text = f"**{text}**" if cell.best else text
    # Not <u>, which the pages of code hosts leave out.
    text = f"<ins>{text}</ins>" if cell.highest else text
    return f"{text} ±{cell.uncertainty}" if cell.uncertainty else text


def render_csv(table: Table) -> str:
    """Numbers in full precision, ``inf`` where infinite, empty where there is none; never a sign.

    A measured column has its half-width and its n beside it.
    """
    blocks = table.blocks if table.stored is None else table.stored
    marks = any(block.title for block in blocks)
    head: list[object] = []
    for column in table.columns:
        head += [column.key]
        head += [f"{column.key}_half_width", f"{column.key}_n"] if _wide(column) else []
    lines = [[*head, "block"] if marks else head]
    for block in blocks:
        for row in block.rows:
            cells: list[object] = []
            for value, column in zip(row, table.columns, strict=True):
                cells += _numbers(value) if _wide(column) else [_number(value, column)]
            lines.append([*cells, block.title] if marks else cells)
    return csv_text(lines)


def csv_text(lines: Iterable[Sequence[object]]) -> str:
    """Any lines as CSV that other programs read as numbers: ``inf``, and empty for None and NaN."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_stored(value) for value in line] for line in lines)
    return buffer.getvalue()


def _stored(value: object) -> object:
    if isinstance(value, float):  # NumPy's are floats, too, and print otherwise
        return "" if math.isnan(value) else repr(float(value))
    return "" if value is None else value


def _wide(column: Column) -> bool:
    return not (column.text or column.plain)


def _numbers(value: Value) -> tuple[object, object, object]:
    """Number, half-width and n."""
    if isinstance(value, Summary):
        return value.mean, value.half_width, value.n or None
    if isinstance(value, Shown):
        return value.stored, None, value.of
    return (None if isinstance(value, str) else value), None, None


def _number(value: Value, column: Column) -> object:
    return value if column.text else _numbers(value)[0]
