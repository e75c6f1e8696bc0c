"""Tables of image files, read as CSV or Parquet and written as CSV: ``file,label,split``."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.data.findings import brief, shown
from ltbench.errors import DataError, InputError, nearest
from ltbench.files import refuse_endless, write_bytes

HEAD = ("file", "label", "split")


@dataclass(frozen=True)
class Line:
    """``where``: table and line, for messages; ``cells``: one text for each column asked for."""

    where: str
    cells: tuple[str, ...]


def columns_of(path: Path) -> list[str]:
    """Names of the columns. Raises :class:`DataError` where the file cannot be read."""
    if _is_parquet(path):
        return list(_schema(path).names)
    try:
        refuse_endless(path)
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, csv.Error) as error:
        raise DataError(f"{shown(path)} cannot be read as a CSV table: {error}") from error


def read_table(path: Path, columns: Sequence[str], *, others: str = "") -> list[Line]:
    """The named columns of every row of a CSV or Parquet file, the files first, without blanks around;
    the others in one spelling (NFC).

    others: how a user names other columns, for messages. Raises :class:`DataError` naming the table
    where a column or a cell of a row is missing.
    """
    if _is_parquet(path):
        return _read_parquet(path, columns, others)
    try:
        refuse_endless(path)
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, strict=True)
            head = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = head
            _check_head(path, columns, head, others)
            return [
                _line(f"{shown(path)}, line {reader.line_num}", columns, [row[c] for c in columns])
                for row in reader
            ]
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise DataError(f"{shown(path)} is no CSV table: {error}") from error


def _check_head(path: Path, columns: Sequence[str], head: Sequence[str], others: str) -> None:
    for column in columns:
        if column not in head:
            raise DataError(
                f"{shown(path)} has no column {shown(column)!r} (it has: "
                f"{brief(', '.join(head)) or 'nothing'}){nearest(column, head)}{others}"
            )


def _line(where: str, columns: Sequence[str], row: Sequence[str | None]) -> Line:
    file, *rest = ((cell or "").strip() for cell in row)
    cells = (file, *(unicodedata.normalize("NFC", cell) for cell in rest))
    if not all(cells):
        raise DataError(f"{where}: {shown(columns[cells.index('')])!r} is empty")
    return Line(where, cells)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        refuse_endless(path)
        return pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_parquet(path, error) from error


def _no_parquet(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{shown(path)} is no readable Parquet table: {reason}")


def refuse_embedded(path: Path) -> None:
    """Raises :class:`DataError` where ``path`` holds images themselves instead of names of files."""
    if not _is_parquet(path):
        return
    import pyarrow as pa

    for field in _schema(path):
        struct = pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
        if struct or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise DataError(
                f"{shown(path)} holds the images themselves (column {shown(field.name)!r}) and is no "
                'table of files; source = "parquet" reads such files, in a folder as train-*.parquet '
                "and test-*.parquet"
            )


def _read_parquet(path: Path, columns: Sequence[str], others: str) -> list[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(path)
    if columns[0] not in schema.names or not _is_text(schema.field(columns[0]).type):
        refuse_embedded(path)
    _check_head(path, columns, schema.names, others)
    for column in columns:
        kind = schema.field(column).type
        if not _is_text(kind) and (column == columns[0] or not pa.types.is_integer(kind)):
            what = "texts" if column == columns[0] else "texts or whole numbers"
            raise DataError(f"{shown(path)}: column {shown(column)!r} must hold {what}, not {kind}")
    try:
        table = pq.read_table(path, columns=list(dict.fromkeys(columns)), partitioning=None)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_parquet(path, error) from error
    cells = [[None if c is None else str(c) for c in table[name].to_pylist()] for name in columns]
    return [
        _line(f"{shown(path)}, row {number}", columns, row)
        for number, row in enumerate(zip(*cells, strict=True), start=1)
    ]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


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
