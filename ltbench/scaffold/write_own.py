"""Writes a protocol for a user's own images, with a table of training and test images where needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ltbench.data.findings import shown
from ltbench.data.folder_scan import SPLITS
from ltbench.data.split import CannotSplit, SplitRule
from ltbench.data.split_table import draw_table
from ltbench.data.table_columns import Columns, recognise
from ltbench.data.table_file import columns_of
from ltbench.errors import DataError, InputError
from ltbench.files import write_text
from ltbench.scaffold.own_data import OwnData, look_at_folder, look_at_table
from ltbench.scaffold.own_protocol import protocol_text
from ltbench.scaffold.write import check_free

RULE = SplitRule(share=0.2, smallest=5, seed=0)


@dataclass(frozen=True)
class Written:
    """``table``: of the test set that was drawn, None where the images had one; ``columns``: of the table
    that was given; ``further``: those of it that did not count."""

    protocol: Path
    table: Path | None
    data: OwnData
    columns: Columns | None = None
    further: tuple[str, ...] = ()


def write_own_protocol(
    name: str, source: Path, home: Path, stated: Mapping[str, str] | None = None
) -> Written:
    """``<name>.toml`` in ``home`` for a folder or table of images; nothing there is overwritten.

    stated: names of columns of a table by what they are (``file``, ``label``, ``split``, ``group``).

    Images without a test set get one by :data:`RULE`, as ``<name>.csv`` beside it; equal values of the
    group stay on one side. Raises
    :class:`InputError` for a name that is unusable or taken and for files that are there,
    :class:`DataError` where ``source`` holds no labelled images.
    """
    check_free("protocol", name)
    module = name.replace("-", "_").replace(".", "_")
    protocol, table = home / f"{module}.toml", home / f"{module}.csv"
    if protocol.exists():
        raise InputError(f"{protocol} exists; choose another name or --output DIR")
    if not source.exists():
        raise DataError(f"{shown(source)} does not exist; give a folder or a table of images")
    columns = recognise(source, stated or {}) if source.is_file() else None
    drawn = not (columns.split if columns is not None else _has_split_folders(source))
    if drawn:
        if table.exists():
            raise InputError(
                f"{shown(table)} exists, where the drawn test set would be written; choose another name or"
                " --output DIR"
            )
        home.mkdir(parents=True, exist_ok=True)
        _draw(source, table, columns)
    if drawn:
        data = look_at_table(table)
    else:
        data = look_at_folder(source) if columns is None else look_at_table(source, columns)
    try:
        write_text(protocol, protocol_text(name, data, home))
    except OSError as error:
        raise InputError(f"{protocol} cannot be written: {error.strerror or error}") from None
    further = () if columns is None or columns.group or not drawn else _further(source, columns)
    return Written(protocol, table if drawn else None, data, columns, further)


def _further(table: Path, columns: Columns) -> tuple[str, ...]:
    """Columns that may say what belongs together, a patient or a camera."""
    known = ("", columns.file, columns.label, columns.split)
    return tuple(name for name in columns_of(table) if name not in known)


def _has_split_folders(source: Path) -> bool:
    if [split for split in SPLITS if (source / split).is_dir()] == ["train"]:
        raise DataError(
            f"{shown(source)} has training images and no folder 'test'; name the training images, "
            f"--images {shown(source / 'train')}: a test set is then drawn from them"
        )
    return any((source / split).is_dir() for split in SPLITS)


def _draw(source: Path, table: Path, columns: Columns | None) -> None:
    stated = {}
    if columns is not None:
        named = {"file": columns.file, "label": columns.label, "group": columns.group}
        stated = {role: name for role, name in named.items() if name}
    try:
        draw_table(source, RULE, stated, table)
    except CannotSplit as error:
        group = columns.group if columns is not None else ""
        by = (f" --group {group}" if group else "") + " --min-per-class 1"
        raise DataError(
            f"{error}; to split otherwise: `ltbench data split {shown(source)}{by} -o {shown(table)}`, "
            "then --table with that file"
        ) from None
