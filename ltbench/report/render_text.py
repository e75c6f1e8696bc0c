"""Tables as Markdown (rounded, for reading) and CSV (full precision, for computing)."""

from __future__ import annotations

import csv
import io
import re

from ltbench.report.statistics import Summary
from ltbench.report.tables import Table, Value, printed


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
    return f"{text} ±{cell.uncertainty}" if cell.uncertainty else text


def render_csv(table: Table) -> str:
    """Per number its mean, half-width and n; empty where there is none."""
    measured = {
        i
        for block in table.blocks
        for row in block.rows
        for i, value in enumerate(row)
        if value is None or isinstance(value, Summary)
    }
    marks = any(block.title for block in table.blocks)
    head: list[str] = []
    for i, column in enumerate(table.columns):
        head.append(column.key)
        if i in measured and column.key != "parameters":
            head += [f"{column.key}_half_width", f"{column.key}_n"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*head, "block"] if marks else head)
    for block in table.blocks:
        for row in block.rows:
            cells: list[object] = []
            for i, (value, column) in enumerate(zip(row, table.columns, strict=True)):
                wide = i in measured and column.key != "parameters"
                cells += _numbers(value, wide)
            writer.writerow([*cells, block.title] if marks else cells)
    return buffer.getvalue()


def _numbers(value: Value, wide: bool) -> list[object]:
    if isinstance(value, Summary):
        width = "" if value.half_width is None else repr(value.half_width)
        return [repr(value.mean), width, value.n]
    shown: object = "" if value is None else value
    return [shown, "", ""] if wide else [shown]
