"""Mixes: label distributions that a user will meet, by class name, in the protocol or as a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.files import read_whole
from ltbench.names import check_name
from ltbench.settings import shorten

Weights = dict[str, float]
"""Share or count of each class by its name (or number, as text), in any unit; none negative."""

_DELIMITERS = ",;\t"


def read_mixes(value: Any, where: str) -> dict[str, Weights]:
    """``{"clinic": {"benign": 95, "malignant": 5}}``; each mix as :func:`read_mix` takes it."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a table of names, each with a mix, not {shorten(value)}")
    found = {}
    for name, mix in value.items():
        check_name(name, f"{where}: mix")
        found[name] = read_mix(mix, f"{where}.{name}")
    return found


def read_mix(value: Any, where: str) -> Weights:
    """A table of shares or counts, ``"benign=95,malignant=5"``, or the path of a CSV file.

    Numbers need not sum to 1. Raises :class:`InputError` for a number that is negative or not finite,
    for a class that is given twice and where all are 0.
    """
    if isinstance(value, Mapping):
        pairs = [(str(name), share) for name, share in value.items()]
        return _checked(pairs, where)
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            f"{where} = {shorten(value)} must be a table, as in {{ benign = 0.95, malignant = 0.05 }},"
            " or the path of a CSV file with a line class,count for each class"
        )
    if is_list(value):
        return _checked([_pair(part, where) for part in value.split(",")], where)
    return read_mix_file(Path(value), where)


def is_list(text: str) -> bool:
    """Whether ``text`` lists classes (``"benign=95,malignant=5"``) and is not the path of a file."""
    return "=" in text and not Path(text).is_file()


def mix_name(path: Path, option: str = "--mix") -> str:
    """The name of the mix in ``path``: that of the file without its ending."""
    if "." in path.stem:
        raise InputError(f"{option} {path}: no '.' may stand in the file's name before its ending")
    return check_name(path.stem, f"{option} {path}: the file's name")


def read_mix_file(path: Path, where: str) -> Weights:
    """A CSV file with a line ``class,count`` or ``class,share`` for each class, UTF-8.

    The first line is left out where its second field is no number; columns may also be parted by
    semicolons or tabs. Raises :class:`InputError` naming the file and the line.
    """
    try:
        text = read_whole(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InputError(f"{where}: {path} cannot be read: {reason}") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = next((sign for sign in _DELIMITERS if sign in first), ",")
    pairs: list[tuple[str, Any]] = []
    headed = False
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            place = f"{path}, line {reader.line_num}"
            if len(fields) != 2 or not fields[0].strip():
                raise InputError(f"{place}: a line must be class,count, not {shorten(fields)}")
            if not (headed or pairs) and _number(fields[1]) is None:
                headed = True
                continue
            pairs.append((fields[0].strip(), fields[1]))
            _share(*pairs[-1], place)
    except csv.Error as error:
        raise InputError(f"{path} is not readable CSV: {error}") from None
    return _checked(pairs, f"{where}: {path}")


def _pair(part: str, where: str) -> tuple[str, str]:
    name, equals, share = part.rpartition("=")
    if not equals or not name.strip():
        raise InputError(f"{where}: {part.strip()!r} must look like benign=0.95")
    return name.strip(), share


def _checked(pairs: Iterable[tuple[str, Any]], where: str) -> Weights:
    weights: Weights = {}
    for name, share in pairs:
        if not name:
            raise InputError(f"{where}: a class has no name")
        if name in weights:
            raise InputError(f"{where}: class {name!r} is given twice")
        weights[name] = _share(name, share, where)
    if not any(weights.values()):
        raise InputError(f"{where} gives no class a share above 0")
    return weights


def _share(name: str, value: Any, where: str) -> float:
    share = _number(value)
    if share is None or not 0 <= share <= 1e15:
        shown = shorten(value.strip() if isinstance(value, str) else value)
        raise InputError(
            f"{where}: class {name!r} has {shown}; a share or count must be a number of at least 0"
        )
    return share


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    underscored = isinstance(value, str) and "_" in value
    return number if math.isfinite(number) and not underscored else None
