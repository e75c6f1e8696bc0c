"""Parquet shards as the Hugging Face hub has them: ``train-*.parquet`` and ``test-*.parquet``.

The image column, ``img`` or ``image``, is a struct of ``bytes`` (an encoded image) and ``path``;
the label column is ``fine_label`` or ``label``. Class names come from ``classes.json`` beside the
shards, else from the metadata that the hub writes into each shard, else they are label numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ltbench.data.dataset import Images, Labels
from ltbench.data.decode import (
    Decoded,
    UnreadableImage,
    collect,
    decode_exact,
    mapper,
    try_decoding,
)
from ltbench.data.findings import Findings
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import DataError
from ltbench.files import read_json

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("fine_label", "label")
_BATCH = 1024
_LARGE = 64  # pixels; handing a smaller image to a thread costs more than decoding it
_NUMBERED = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


def has_shards(folder: Path) -> bool:
    return any(_shards(folder, "train")) or any(_shards(folder, "test"))


def find_parquet(folder: Path, classes: int, image_size: int) -> Found:
    """The shards in ``folder``; :class:`DataError` where one of a numbered series is missing."""
    train, test = _complete(folder, "train"), _complete(folder, "test")
    files = [*train, *test]
    if (folder / "classes.json").is_file():
        files.append(folder / "classes.json")
    findings = Findings()
    return Found(
        kind="parquet",
        origin=f"{folder} (parquet, {len(train)} + {len(test)} files)",
        files=tuple(files),
        read=lambda: _read(folder, train, test, classes, image_size, findings),
        options={"classes": classes, "image_size": image_size},
        findings=findings,
    )


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
    folder: Path,
    train: list[Path],
    test: list[Path],
    classes: int,
    size: int,
    findings: Findings,
) -> Raw:
    names = _class_names(folder, train[0], classes)
    return Raw(names, size, _stream(train, size, findings), _stream(test, size, findings))


def _stream(shards: list[Path], size: int, findings: Findings) -> Stream:
    def batches() -> Iterator[tuple[Images, Labels]]:
        for shard in shards:
            yield from _batches(shard, size, findings)

    return Stream(sum(_open(shard).metadata.num_rows for shard in shards), batches)


def _open(shard: Path) -> Any:
    try:
        return pq.ParquetFile(shard)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(shard, error) from error


def _damaged(shard: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{shard} is not a readable parquet file: {reason}")


def _column(shard: Path, names: list[str], known: tuple[str, ...], what: str) -> str:
    for name in known:
        if name in names:
            return name
    listed = ", ".join(names)
    raise DataError(f"{shard} has no {what} column {' or '.join(known)} (it has: {listed})")


def _batches(shard: Path, size: int, findings: Findings) -> Iterator[tuple[Images, Labels]]:
    """Images (B, 3, size, size) and labels (B,) of one shard; never more than a batch in memory."""
    file = _open(shard)
    schema = file.schema_arrow
    image = _column(shard, schema.names, IMAGE_COLUMNS, "image")
    label = _column(shard, schema.names, LABEL_COLUMNS, "label")
    kind, number = schema.field(image).type, schema.field(label).type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise DataError(f"{shard}: column {image} must be a struct with bytes, not {kind}")
    if not pa.types.is_integer(number):
        raise DataError(f"{shard}: column {label} must hold whole numbers, not {number}")
    start = 0
    with mapper(threaded=size >= _LARGE) as over:
        for content, labels in _rows(file, shard, image, label):
            numbered = enumerate(content, start)
            decoded = over(lambda row: _decode(row[1], size, f"{shard}, row {row[0]}"), numbered)
            places = [f"{shard}, row {start + i}" for i in range(len(content))]
            images = collect(decoded, places, findings)
            start += len(content)
            yield images, labels


def _rows(file: Any, shard: Path, image: str, label: str) -> Iterator[tuple[list[Any], Labels]]:
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=[f"{image}.bytes", label]):
            if batch.num_rows == 0:
                continue
            if batch.column(label).null_count:
                raise DataError(f"{shard}: column {label} has empty cells")
            content = batch.column(image).field("bytes").to_pylist()
            yield content, batch.column(label).to_numpy(zero_copy_only=False).astype(np.int64)
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(shard, error) from error


def _decode(content: bytes | None, size: int, where: str) -> Decoded:
    def decode() -> Decoded:
        if not content:
            raise UnreadableImage("rows without an image", f"{where} has no image bytes")
        return decode_exact(content, size, where)

    return try_decoding(decode, size)


def _class_names(folder: Path, shard: Path, classes: int) -> tuple[str, ...]:
    path = folder / "classes.json"
    if path.is_file():
        names, where = read_json(path), str(path)
    else:
        names, where = _hub_names(shard), f"the metadata of {shard}"
        if names is None:
            return tuple(str(label) for label in range(classes))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where} must be a list of class names")
    if len(set(names)) != len(names):
        raise DataError(f"{where} names a class twice")
    if len(names) != classes:
        raise DataError(f"{where} names {len(names)} classes, the protocol says {classes}")
    return tuple(names)


def _hub_names(shard: Path) -> Any:
    """The names in the hub's metadata; None where there are none."""
    schema = _open(shard).schema_arrow
    label = _column(shard, schema.names, LABEL_COLUMNS, "label")
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
