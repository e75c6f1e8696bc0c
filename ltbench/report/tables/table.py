"""A table before it is rendered: columns, blocks of rows, caption and notes; and its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ltbench.report.rows.summary import Summary

MISSING = "–"  # not measured
NOT_APPLICABLE = "n/a"  # cannot be measured: the group has no class
INFINITE = "∞"
FIXED = "not adapted to the test images"
ADAPTED = "adapted to the test images"
KNOWS_PRIOR = "knows the true test prior"


@dataclass(frozen=True)
class Shown:
    """A number that is printed in its own way; ``stored`` is what files for computing hold.

    ``of``: how many it is a part of or comes from, where that is said.
    """

    text: str
    stored: float | int | None = None
    of: int | None = None


Value = Summary | Shown | str | int | None
"""A text in a column of numbers can only be :data:`NOT_APPLICABLE`."""


@dataclass(frozen=True)
class Column:
    """``key`` heads the CSV column, ``header`` the printed one.

    ``explained``: the part of the table's caption that is about this column and goes with it.
    """

    key: str
    header: str
    digits: int = 1
    text: bool = False  # left-aligned; repeated in every part of a table that is split
    plain: bool = False  # single numbers: in CSV one column, without half-width and n
    explained: str = ""


@dataclass(frozen=True)
class Block:
    """Rows that belong together; a title sets them off from the block above."""

    rows: tuple[tuple[Value, ...], ...]
    title: str = ""
    quoted: frozenset[int] = frozenset()
    """Places of the rows that were not measured here: set in grey, never ranked."""


@dataclass(frozen=True)
class Table:
    """``name`` is the stem of its files; every row has one value per column.

    ``stored``: what the CSV file holds where ``blocks`` are a part of it. ``in_terminal``: whether
    it is short enough to be printed there.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    stored: tuple[Block, ...] | None = None
    in_terminal: bool = True

    def __post_init__(self) -> None:
        for block in (*self.blocks, *(self.stored or ())):
            for row in block.rows:
                if len(row) != len(self.columns):
                    raise ValueError(f"{self.name}: {len(row)} values in a row, not as headed")
                for value, column in zip(row, self.columns, strict=True):
                    if isinstance(value, str) and not column.text and value != NOT_APPLICABLE:
                        raise ValueError(f"{self.name}: text {value!r} in column {column.key}")


@dataclass(frozen=True)
class Printed:
    """A cell as text; ``uncertainty`` is the half-width without its sign.

    ``best`` is set in bold, ``highest`` underlined.
    """

    main: str
    uncertainty: str = ""
    best: bool = False
    highest: bool = False


def printed(value: Value, digits: int) -> Printed:
    """The one place where numbers become text, so that all renderers agree."""
    if value is None:
        return Printed(MISSING)
    if isinstance(value, str):
        return Printed(value)
    if isinstance(value, Shown):
        return Printed(value.text)
    if isinstance(value, int):
        return Printed(f"{value:,}")
    if value.half_width is None:
        return Printed(_fixed(value.mean, digits), "", value.best, value.highest)
    width = _fixed(value.half_width, digits)
    return Printed(_fixed(value.mean, digits), width, value.best, value.highest)


def _fixed(number: float, digits: int) -> str:
    if math.isinf(number):
        return INFINITE if number > 0 else f"-{INFINITE}"
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text  # never "-0.0"
