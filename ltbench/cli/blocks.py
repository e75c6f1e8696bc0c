"""A table that is cut into blocks of columns where it is wider than the terminal, never its cells."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console

_GAP = "  "


def print_blocks(
    title: str, headings: Sequence[str], lines: Sequence[Sequence[str]], console: Console
) -> None:
    """The first column stands in every block, to the left; the others to the right."""
    _print(title, console)
    for text in table_blocks(headings, lines, console.width):
        _print(text, console)


def table_blocks(headings: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each block as text, no line wider than ``width`` unless two columns alone are."""
    rows = [headings, *lines]
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(headings))]
    blocks: list[list[int]] = []
    used = 0
    for column in range(1, len(headings)):
        wide = len(_GAP) + widths[column]
        if not blocks or used + wide > width:
            blocks.append([])
            used = widths[0]
        blocks[-1].append(column)
        used += wide
    return [
        "\n".join(
            (_left(row[0], widths[0]) + "".join(_right(row[i], widths[i]) for i in block)).rstrip()
            for row in rows
        )
        for block in blocks
    ]


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return _GAP + " " * (width - cell_len(text)) + text


def _print(text: str, console: Console) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
