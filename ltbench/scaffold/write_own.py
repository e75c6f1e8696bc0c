"""Writes a protocol for a user's own images, with a table of training and test images where needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench.data.findings import shown
from ltbench.data.folder_scan import SPLITS
from ltbench.data.split import CannotSplit, SplitRule
from ltbench.data.split_table import draw_table
from ltbench.data.table_file import HEAD, columns_of
from ltbench.errors import DataError, InputError
from ltbench.files import write_text
from ltbench.scaffold.own_data import OwnData, look_at_folder, look_at_table
from ltbench.scaffold.own_protocol import protocol_text
from ltbench.scaffold.write import check_free

RULE = SplitRule(share=0.2, smallest=5, seed=0)


@dataclass(frozen=True)
class Written:
    """``table``: of the test set that was drawn, None where the images had one; ``further``: columns of
    the table it was drawn from that did not count."""

    protocol: Path
    table: Path | None
    data: OwnData
    further: tuple[str, ...] = ()


def write_own_protocol(name: str, source: Path, home: Path, group: str | None = None) -> Written:
    """``<name>.toml`` in ``home`` for a folder or table of images; nothing there is overwritten.

    Images without a test set get one by :data:`RULE`, as ``<name>.csv`` beside it; equal values of the
    column ``group`` of a table stay on one side. Raises
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
    drawn = not _is_split(source)
    if drawn:
        if table.exists():
            raise InputError(
                f"{shown(table)} exists, where the drawn test set would be written; choose another name or"
                " --output DIR"
            )
        home.mkdir(parents=True, exist_ok=True)
        _draw(source, table, group)
    elif group is not None:
        raise InputError(
            f"--group {group}: {shown(source)} is split into train and test already, so nothing is drawn"
        )
    table_given = drawn or source.is_file()
    data = look_at_table(table if drawn else source) if table_given else look_at_folder(source)
    try:
        write_text(protocol, protocol_text(name, data, home))
    except OSError as error:
        raise InputError(f"{protocol} cannot be written: {error.strerror or error}") from None
    further = () if group or not drawn or source.is_dir() else _further_columns(source)
    return Written(protocol, table if drawn else None, data, further)


def _further_columns(table: Path) -> tuple[str, ...]:
    """Columns that may say what belongs together, a patient or a camera."""
    return tuple(name for name in columns_of(table) if name and name not in HEAD)


def _is_split(source: Path) -> bool:
    if source.is_dir():
        if [split for split in SPLITS if (source / split).is_dir()] == ["train"]:
            raise DataError(
                f"{shown(source)} has training images and no folder 'test'; name the training images, "
                f"--images {shown(source / 'train')}: a test set is then drawn from them"
            )
        return any((source / split).is_dir() for split in SPLITS)
    return HEAD[2] in columns_of(source)


def _draw(source: Path, table: Path, group: str | None) -> None:
    try:
        draw_table(source, RULE, group, table)
    except CannotSplit as error:
        by = (f" --group {group}" if group else "") + " --min-per-class 1"
        raise DataError(
            f"{error}; to split otherwise: `ltbench data split {shown(source)}{by} -o {shown(table)}`, "
            "then --table with that file"
        ) from None
