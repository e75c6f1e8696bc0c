"""Names of classes that a file beside the images lists, ``classes.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ltbench.errors import DataError
from ltbench.files import read_json

CLASSES_FILE = "classes.json"


def names_in(folders: Sequence[Path]) -> tuple[str, ...] | None:
    """Of the first folder that has ``classes.json``, a list of names by label; None where none has.

    Raises :class:`DataError` where it is no list of different names.
    """
    for folder in folders:
        path = folder / CLASSES_FILE
        if path.is_file():
            return checked_names(read_json(path), str(path))
    return None


def checked_names(names: object, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where} must be a list of class names")
    if len(set(names)) != len(names):
        raise DataError(f"{where} names a class twice")
    return tuple(names)
