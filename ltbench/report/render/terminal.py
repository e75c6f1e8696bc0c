"""Tables on the terminal, at any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ltbench.report.tables.table import INFINITE, Block, Column, Table, Value, printed

MOST_ROWS = 60  # of one table; the files have all
LONGEST_LABEL = 28  # longer ones are folded; a table must keep room for its numbers


def print_table(table: Table, console: Console, *, caption: bool = True) -> None:
    """Prints title, table, caption and notes; a table too wide for the console in parts.

    Half-widths stand under their means, so that eleven distributions fit into 100 columns.
    Without ``caption`` only notes on infinite means remain.
    """
    console.print(Text(table.title, style="bold"))
    table, left_out = _shortened(table)
    parts, gap = split_columns(table, console.width)
    for part in parts:
        for number, block in enumerate(table.blocks):
            if block.title:
                console.print(Text(f"{block.title}:", style="italic"))
            elif number:
                console.print()
            console.print(_rich_table(table, block, part, gap, head=number == 0))
        console.print()
    if left_out:
        more = f"{left_out} more rows are in tables/{table.name}.md"
        console.print(Text(more, style="dim"))
        console.print()
    if caption:
        console.print(Text(table.caption, style="dim"))
        for note in table.notes:
            console.print(Text(note, style="yellow"))
        console.print()
    elif signs := [note for note in table.notes if INFINITE in note]:
        for note in signs:  # the sign in a cell is not understood without them
            console.print(Text(note, style="yellow"))
        console.print()


def _shortened(table: Table) -> tuple[Table, int]:
    """The first rows, and how many are left out."""
    room = MOST_ROWS
    blocks = []
    for block in table.blocks:
        if room > 0:
            blocks.append(replace(block, rows=block.rows[:room]))
        room -= len(block.rows)
    return (table, 0) if room >= 0 else (replace(table, blocks=tuple(blocks)), -room)


def split_columns(table: Table, width: int) -> tuple[list[list[int]], int]:
    """Indices of the columns of each part, and the blanks between columns.

    Text columns and the expert's number stand in every part. One part with narrow gaps is
    better than two; where it must be more, they get about the same number of columns.
    """
    widths = [_width(table, i) for i in range(len(table.columns))]
    heads = [i for i, column in enumerate(table.columns) if column.text or column.key == "expert"]
    others = [i for i in range(len(table.columns)) if i not in heads]

    def fits(part: list[int], gap: int) -> bool:
        return sum(widths[i] + gap for i in [*heads, *part]) - gap <= width

    for gap in (2, 1):
        if fits(others, gap):
            return [[*heads, *others]], gap
    for count in range(2, len(others)):
        size = -(-len(others) // count)
        parts = [others[i : i + size] for i in range(0, len(others), size)]
        if all(fits(part, 1) for part in parts):
            return [[*heads, *part] for part in parts], 1
    return [[*heads, i] for i in others], 1


def _width(table: Table, index: int) -> int:
    column = table.columns[index]
    cells = [_text(row[index], column) for block in table.blocks for row in block.rows]
    longest = max(cell_len(line) for text in [column.header, *cells] for line in text.split("\n"))
    return min(longest, LONGEST_LABEL) if column.text else longest


def _text(value: Value, column: Column) -> str:
    cell = printed(value, column.digits)
    text = " ".join(cell.main.split())
    return f"{text}\n±{cell.uncertainty}" if cell.uncertainty else text


def _styled(value: Value, column: Column) -> Text:
    cell = printed(value, column.digits)
    style = "bold" if cell.best else "underline" if cell.highest else ""
    text = Text(_text(value, column))
    text.stylize(style, 0, len(cell.main))  # not the half-width under it
    return text


def _rich_table(
    table: Table, block: Block, part: Sequence[int], gap: int, *, head: bool
) -> RichTable:
    # The box itself puts one blank between columns. Fixed widths keep the blocks aligned.
    rich = RichTable(
        box=box.SIMPLE_HEAD,
        padding=(0, gap - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        show_header=head,
    )
    for i in part:
        column = table.columns[i]
        rich.add_column(
            Text(column.header),
            justify="left" if column.text else "right",
            width=_width(table, i),
            no_wrap=not column.text,
            overflow="fold",
        )
    for place, row in enumerate(block.rows):
        style = "dim" if place in block.quoted else ""
        # Text, not str: "[tau=1]" in a label is no markup.
        rich.add_row(*[_styled(row[i], table.columns[i]) for i in part], style=style)
    return rich
