"""Lists of one number a class, of records of thousands of classes: in an array file beside the JSON.

``evaluations/<name>.values.npz`` belongs to ``evaluations/<name>.json``, which names each of its arrays
where the list would stand, and tells the file's SHA-256. Up to :data:`LISTED_CLASSES` classes there is no
such file and the lists stand in the record. Needs no torch; nothing in it is pickled.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.bombs import refuse_bomb
from ltbench.errors import InputError
from ltbench.files import read_whole, write_bytes

LISTED_CLASSES = 1000
SUFFIX = ".values.npz"
DIGEST = "class_values"
"""The key of the record that holds the digest; a record without it has no such file."""
_NAME = "class values"
_MOST = 1 << 28  # bytes of all arrays, unpacked
_WHERE = ("distributions", "bias")
"""The parts of a record that repeat lists by class; the classes themselves are told once."""

Arrays = dict[str, NDArray[Any]]


def values_path(record: Path) -> Path:
    """The file of the record ``evaluations/<name>.json``."""
    return record.with_name(record.name.removesuffix(".json") + SUFFIX)


def taken_out(record: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    """The record with names in the place of lists of one number a class, and the arrays by name.

    The number of classes is that of ``train_counts``; None in a list is NaN in its array.
    """
    classes = len(record.get("train_counts", ()))
    if classes <= LISTED_CLASSES:
        return dict(record), {}
    arrays: Arrays = {}

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            # A definition is what a plan compares, without opening another file.
            return {key: item if key == "definition" else walk(item) for key, item in value.items()}
        if not isinstance(value, list | tuple):
            return value
        if len(value) != classes or not all(_is_number(item) for item in value):
            return [walk(item) for item in value]
        name = f"{len(arrays)}"
        whole = all(isinstance(item, int) for item in value)
        arrays[name] = np.array(value, dtype=np.int64 if whole else np.float64)
        return {_NAME: name}

    return {key: walk(v) if key in _WHERE else v for key, v in record.items()}, arrays


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def write_values(record: Path, arrays: Arrays) -> str:
    """Writes the file of ``record``, whole or not at all; its SHA-256."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_bytes(values_path(record), content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def put_back(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """The inverse of :func:`taken_out`, of the record that was read from ``path``.

    Raises :class:`InputError` where the file beside it is missing, damaged or of another record.
    """
    digest = record.get(DIGEST)
    if digest is None:
        return record
    file = values_path(path)
    try:
        content = read_whole(file)
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("it is not the file that was written with the record")
        refuse_bomb(io.BytesIO(content), _MOST)
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            lists = {name: _listed(found[name]) for name in found.files}
        restored = {k: _restored(v, lists) if k in _WHERE else v for k, v in record.items()}
    except Exception as error:  # NumPy raises whatever a damaged header or archive leads it to
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} is not readable: {file.name} beside it: {reason}") from error
    return restored


def values_are_there(path: Path) -> bool:
    """Whether the record at ``path`` has the file that it names; true where it names none."""
    if values_path(path).exists():
        return True
    try:
        return f'"{DIGEST}"'.encode() not in read_whole(path)
    except OSError:
        return True


def _listed(array: NDArray[Any]) -> list[Any]:
    if array.dtype.kind != "f":
        listed: list[Any] = array.tolist()
        return listed
    return [None if value != value else value for value in array.tolist()]


def _restored(value: Any, lists: Mapping[str, list[Any]]) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == {_NAME}:
            return lists[value[_NAME]]
        return {key: _restored(item, lists) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item, lists) for item in value]
    return value
