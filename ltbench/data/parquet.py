"""Parquet shards as the Hugging Face hub has them: ``train-*.parquet`` and ``test-*.parquet``.

They lie in the folder or in ``data`` below it. The image column, ``img`` or ``image`` unless it is named,
is a struct of ``bytes`` (an encoded image) and ``path``, or the bytes alone; the label column is
``fine_label`` or ``label``. ``validation-*.parquet`` (``val``, ...) are validation images, or by name the
test set. Images may have any size; EXIF orientation is not obeyed. Class names come from ``classes.json``
beside the shards, else from the metadata that the hub writes into each shard, else they are numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ltbench.bombs import is_bomb
from ltbench.data.class_names import CLASSES_FILE, checked_names, names_in
from ltbench.data.dataset import Images, Labels
from ltbench.data.decode import (
    Decoded,
    UnreadableImage,
    collect,
    decode_exact,
    decode_resized,
    mapper,
    try_decoding,
)
from ltbench.data.findings import Findings, shown
from ltbench.data.folder import fit_option
from ltbench.data.folder_scan import VALIDATION, VALIDATION_USE
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import DataError, nearest

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("fine_label", "label")
_BATCH = 1024
_LARGE_BYTES = 16_000  # of an image as stored
_LARGE = 64  # pixels; handing a smaller image to a thread costs more than decoding it
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


def has_shards(folder: Path) -> bool:
    return any(_shards(folder, "train")) or any(_shards(folder, "test"))


@dataclass(frozen=True)
class Layout:
    """What a user says of the shards; empty: by the usual names.

    fit: how images become squares; exact: they must have the protocol's size.
    """

    image_column: str = ""
    label_column: str = ""
    test_split: str = ""
    fit: str = "crop"
    exact: bool = False

    @property
    def options(self) -> dict[str, str]:
        """Its part of a cache key; none for the usual names, as keys were before there were others."""
        named = {
            name: value
            for name in ("image_column", "label_column", "test_split")
            if (value := getattr(self, name))
        }
        return {**named, **fit_option(self.fit)}


_USUAL = Layout()


@dataclass(frozen=True)
class _Shards:
    """The files of each split, complete."""

    folder: Path
    train: list[Path]
    test: list[Path]
    holdout: list[Path]

    @property
    def files(self) -> list[Path]:
        return [*self.train, *self.test, *self.holdout]


def find_parquet(folder: Path, classes: int, image_size: int, layout: Layout = _USUAL) -> Found:
    """The shards in ``folder``; :class:`DataError` where one of a numbered series is missing."""
    shards = _find_shards(folder, layout)
    files = shards.files
    home = shards.folder
    named = [home, folder]
    files += [path / CLASSES_FILE for path in named if (path / CLASSES_FILE).is_file()][:1]
    findings = Findings()
    for path in shards.holdout:
        findings.note(VALIDATION_USE, shown(path))
    held = f" + {len(shards.holdout)}" if shards.holdout else ""
    return Found(
        kind="parquet",
        origin=f"{home} (parquet, {len(shards.train)} + {len(shards.test)}{held} files)",
        files=tuple(files),
        read=lambda: _read(shards, named, classes, image_size, layout, findings),
        options={"classes": classes, "image_size": image_size, **layout.options},
        findings=findings,
    )


def _find_shards(folder: Path, layout: Layout) -> _Shards:
    inner = folder / "data"
    home = inner if not has_shards(folder) and inner.is_dir() and has_shards(inner) else folder
    held = [name for name in VALIDATION if any(_shards(home, name))]
    test = layout.test_split or "test"
    if not layout.test_split and not any(_shards(home, "test")) and held and has_shards(home):
        raise DataError(
            f"{shown(home)} has no test-*.parquet but {held[0]}-*.parquet; to test on these: "
            f'[data.options] test_split = "{held[0]}"'
        )
    if test == "train":
        raise DataError('test_split = "train" would test on the training images')
    beside = [name for name in held if name != test][:1]
    holdout = _complete(home, beside[0]) if beside else []
    return _Shards(home, _complete(home, "train"), _complete(home, test), holdout)


def _shards(folder: Path, split: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"{split}-*.parquet") if path.is_file())


def _complete(folder: Path, split: str) -> list[Path]:
    shards = _shards(folder, split)
    if not shards:
        raise DataError(f"{folder} has no {split}-*.parquet")
    numbers = [match for path in shards if (match := _NUMBERED.search(path.name))]
    if len(numbers) == len(shards):
        announced = max(int(match[2]) for match in numbers)
        missing = sorted(set(range(announced)) - {int(match[1]) for match in numbers})
        if missing or len(shards) != announced:
            which = f"number {missing[0]} is missing" if missing else "some are there twice"
            raise DataError(f"{folder} has {len(shards)} of {announced} {split} shards; {which}")
    return shards


def _read(
    shards: _Shards,
    named: Sequence[Path],
    classes: int,
    size: int,
    layout: Layout,
    findings: Findings,
) -> Raw:
    names = _class_names(named, shards.train[0], classes, layout)
    train, test, holdout = (
        _stream(part, size, layout, findings)
        for part in (shards.train, shards.test, shards.holdout)
    )
    return Raw(names, size, train, test, holdout if shards.holdout else None)


def _stream(shards: list[Path], size: int, layout: Layout, findings: Findings) -> Stream:
    def batches() -> Iterator[tuple[Images, Labels]]:
        for shard in shards:
            yield from _batches(shard, size, layout, findings)

    return Stream(sum(_open(shard).metadata.num_rows for shard in shards), batches)


def _open(shard: Path) -> Any:
    try:
        return pq.ParquetFile(shard)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(shard, error) from error


def _damaged(shard: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{shard} is not a readable parquet file: {reason}")


def _column(shard: Path, names: list[str], stated: str, known: tuple[str, ...], what: str) -> str:
    for name in (stated,) if stated else known:
        if name in names:
            return name
    listed = ", ".join(map(shown, names))
    if stated:
        raise DataError(
            f"{shard} has no column {shown(stated)!r}, which data.options.{what}_column names "
            f"(it has: {listed}){nearest(stated, names)}"
        )
    raise DataError(
        f"{shard} has no {what} column {' or '.join(known)} (it has: {listed}); name it by "
        f"[data.options] {what}_column"
    )


def _image_column(shard: Path, names: list[str], layout: Layout) -> str:
    return _column(shard, names, layout.image_column, IMAGE_COLUMNS, "image")


def _label_column(shard: Path, names: list[str], layout: Layout) -> str:
    return _column(shard, names, layout.label_column, LABEL_COLUMNS, "label")


def _batches(
    shard: Path, size: int, layout: Layout, findings: Findings
) -> Iterator[tuple[Images, Labels]]:
    """Images (B, 3, size, size) and labels (B,) of one shard; never more than a batch in memory."""
    file = _open(shard)
    _refuse_bomb(shard, file)
    schema = file.schema_arrow
    image = _image_column(shard, schema.names, layout)
    label = _label_column(shard, schema.names, layout)
    kind, number = schema.field(image).type, schema.field(label).type
    inner = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not inner and not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(
            f"{shard}: column {image} must be a struct with bytes, or bytes, not {kind}"
        )
    if not pa.types.is_integer(number):
        raise DataError(f"{shard}: column {label} must hold whole numbers, not {number}")
    start = 0
    with mapper(threaded=size >= _LARGE or _heavy(file)) as over:
        for content, labels in _rows(file, shard, image, label, inner):
            numbered = enumerate(content, start)
            decoded = over(
                lambda row: _decode(row[1], size, layout, f"{shard}, row {row[0]}"), numbered
            )
            places = [f"{shard}, row {start + i}" for i in range(len(content))]
            images = collect(decoded, places, findings)
            start += len(content)
            yield images, labels


def _refuse_bomb(shard: Path, file: Any) -> None:
    """Encoded images do not shrink: what would unpack to a hundred times its size is no shard of any."""
    metadata = file.metadata
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        stored = sum(group.column(j).total_compressed_size for j in range(group.num_columns))
        if is_bomb(group.total_byte_size, stored):
            raise DataError(
                f"{shard}: {group.num_rows:,} rows would unpack to {group.total_byte_size:,} bytes "
                f"from {stored:,}"
            )


def _heavy(file: Any) -> bool:
    """Whether images are large as they are stored, whatever becomes of them."""
    metadata = file.metadata
    groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
    return bool(sum(groups) > _LARGE_BYTES * max(metadata.num_rows, 1))


def _rows(
    file: Any, shard: Path, image: str, label: str, inner: bool
) -> Iterator[tuple[list[Any], Labels]]:
    asked = f"{image}.bytes" if inner else image
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=[asked, label]):
            if batch.num_rows == 0:
                continue
            if batch.column(label).null_count:
                raise DataError(f"{shard}: column {label} has empty cells")
            cells = batch.column(image)
            content = (cells.field("bytes") if inner else cells).to_pylist()
            labels = batch.column(label).to_numpy(zero_copy_only=False).astype(np.int64)
            if labels.min() < 0:
                raise DataError(
                    f"{shard}: label {labels.min()} in column {label}: images without a label; for another "
                    "test set: [data.options] test_split"
                )
            yield content, labels
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(shard, error) from error


def _decode(content: bytes | None, size: int, layout: Layout, where: str) -> Decoded:
    def decode() -> Decoded:
        if not content:
            raise UnreadableImage("rows without an image", f"{where} has no image bytes")
        if layout.exact:
            return decode_exact(content, size, where)
        return decode_resized(content, size, layout.fit, upright=False, where=where)

    return try_decoding(decode, size)


def _class_names(
    folders: Sequence[Path], shard: Path, classes: int, layout: Layout
) -> tuple[str, ...]:
    names, where = names_in(folders), CLASSES_FILE
    if names is None:
        where = f"the metadata of {shard}"
        found = _hub_names(shard, layout)
        if found is None:
            return tuple(str(label) for label in range(classes))
        names = checked_names(found, where)
    if len(names) != classes:
        raise DataError(f"{where} names {len(names)} classes, the protocol says {classes}")
    return names


def _hub_names(shard: Path, layout: Layout) -> Any:
    """The names in the hub's metadata; None where there are none."""
    schema = _open(shard).schema_arrow
    label = _label_column(shard, schema.names, layout)
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
