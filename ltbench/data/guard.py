"""What a source says, checked before it is believed: its errors as one line, its arrays by shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ltbench.data.dataset import Images, Labels
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import DataError, LtbenchError, describe
from ltbench.source import DataSource

T = TypeVar("T")


def asked(source: DataSource[Any], doing: str, call: Callable[[], T]) -> T:
    """``call()``; whatever it raises that is no error of ltbench's is a :class:`DataError` of one line.

    An OSError stays as it is: what reads files tells of those, and the cache of a full disk.
    """
    try:
        return call()
    except (LtbenchError, OSError):
        raise
    except ImportError as error:
        raise DataError(f"source {source.name!r} {_lacks(source, error)}") from error
    except Exception as error:  # a plugin may raise whatever it likes
        raise DataError(f"source {source.name!r} failed {doing}: {describe(error)}") from error


def _lacks(source: DataSource[Any], error: ImportError) -> str:
    if source.requires:
        return f"needs {', '.join(source.requires)}, which cannot be imported: {error}"
    return f"cannot import what it needs: {error}"


def guarded(source: DataSource[Any], found: Found) -> Found:
    """``found``, read as :func:`asked` does and with every batch checked."""
    if not isinstance(found, Found):
        raise DataError(
            f"source {source.name!r}: find() must return a Found (ltbench.data.found makes one) or "
            f"None, not {type(found).__name__}"
        )
    return replace(found, read=lambda: _checked(source, found))


def _checked(source: DataSource[Any], found: Found) -> Raw:
    raw = _reading(source, found.read)
    where = f"source {source.name!r}"
    names = raw.class_names
    if not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{where}: every class needs a name, a text")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: two classes are called {twice[0]!r}")

    def stream(split: str, given: Stream) -> Stream:
        def batches() -> Iterator[tuple[Images, Labels]]:
            told = f"{where}, {split} images"
            items = _reading(source, lambda: iter(given.batches()))
            while (batch := _reading(source, lambda: next(items, None))) is not None:
                images, labels = batch
                _check_batch(images, labels, raw.image_size, told)
                yield images, labels

        return Stream(given.count, batches)

    streams = {split: stream(split, given) for split, given in raw.splits.items()}
    return Raw(names, raw.image_size, **streams)


def _reading(source: DataSource[Any], call: Callable[[], T]) -> T:
    try:
        return asked(source, "to read its images", call)
    except OSError as error:
        where = error.filename or f"what source {source.name!r} reads"
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error


def _check_batch(images: Any, labels: Any, size: int, where: str) -> None:
    shape: tuple[int, ...] = getattr(images, "shape", ())
    kind = getattr(images, "dtype", type(images).__name__)
    if kind != np.uint8 or len(shape) != 4 or shape[1:] != (3, size, size):
        raise DataError(f"{where} must be uint8 (B, 3, {size}, {size}), not {kind} {shape}")
    if getattr(labels, "shape", None) != shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: {shape[0]} images need as many whole numbers as labels")
