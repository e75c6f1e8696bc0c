"""Tables of image files as CSV, read and written: ``file,label,split``."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbench.data.findings import shown
from ltbench.errors import DataError, InputError, nearest
from ltbench.files import write_bytes

HEAD = ("file", "label", "split")


@dataclass(frozen=True)
class Line:
    """``where``: table and line, for messages; ``cells``: one text for each column asked for."""

    where: str
    cells: tuple[str, ...]


def columns_of(path: Path) -> list[str]:
    """Names of the columns. Raises :class:`DataError` where the file cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, csv.Error) as error:
        raise DataError(f"{shown(path)} cannot be read as a CSV table: {error}") from error


def read_table(path: Path, columns: Sequence[str]) -> list[Line]:
    """The named columns of every row, without blanks around, labels in one spelling (NFC).

    Raises :class:`DataError` naming the table where a column or a cell of a row is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, strict=True)
            head = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = head
            for column in columns:
                if column not in head:
                    raise DataError(
                        f"{shown(path)} has no column {column!r} (it has: "
                        f"{', '.join(map(shown, head)) or 'nothing'}){nearest(column, head)}"
                    )
            lines = []
            for row in reader:
                where = f"{shown(path)}, line {reader.line_num}"
                cells = tuple((row[column] or "").strip() for column in columns)
                if not all(cells):
                    raise DataError(f"{where}: {columns[cells.index('')]!r} is empty")
                lines.append(Line(where, tuple(map(_one_spelling, columns, cells))))
            return lines
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise DataError(f"{shown(path)} is no CSV table: {error}") from error


def _one_spelling(column: str, cell: str) -> str:
    return cell if column == "file" else unicodedata.normalize("NFC", cell)


def write_table(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Writes ``file,label,split``; replaces only a file that has that very head.

    Raises :class:`InputError` where another file is in the way or nothing can be written.
    """
    try:
        if path.exists() and not (path.is_file() and _is_ours(path)):
            raise InputError(
                f"{shown(path)} exists and is no table of ltbench; choose another name"
            )
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(rows)
        write_bytes(path, buffer.getvalue().encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be written: {error.strerror or error}") from None


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().strip() == ",".join(HEAD).encode()
