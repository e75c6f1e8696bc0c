"""Numbers in a text file: CSV, or columns set apart by blanks, tabs or semicolons."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.files import read_whole

_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE)
_LISTS = ("labels", "counts")

Line = tuple[int, str]


def read_text(path: Path, what: str) -> Tensor:
    """The numbers in ``path``: ``(R, K)``, or ``(R,)`` where they are one row or one column.

    Whole numbers give an int64 array. ``labels`` and ``counts`` stand in one row or one to a line.
    A heading is a first line without any number, followed by one with a number. Blank lines and
    what follows a ``#`` are passed over. Raises :class:`InputError` that names the line.
    """
    lines = numbered_lines(path)
    if not lines:
        raise InputError("it holds no numbers")
    separator = _separator([text for _, text in lines])
    if _is_heading(lines, separator, what):
        lines = lines[1:]
        if not lines:
            raise InputError("it holds no numbers")
        separator = _separator([text for _, text in lines])
    if what in _LISTS and len(lines) > 1:
        _check_single(lines)
    try:
        values = np.loadtxt([text for _, text in lines], delimiter=separator, ndmin=2)
    except ValueError:
        _check_lines(lines, separator)
        raise
    if 1 in values.shape:
        values = values.reshape(-1)
    array = torch.from_numpy(values)
    whole = bool(torch.isfinite(array).all()) and bool((array == array.round()).all())
    return array.long() if whole else array


def numbered_lines(path: Path) -> list[Line]:
    """What is neither blank nor a comment, with its number in the file, from 1."""
    try:
        text = read_whole(path, None).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("it is not text in UTF-8") from None
    raw = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    bare = ((number, line.partition("#")[0].strip()) for number, line in enumerate(raw, 1))
    return [(number, line) for number, line in bare if line]


def _separator(lines: list[str]) -> str | None:
    """None: blanks and tabs."""
    return next((mark for mark in ",;" if mark in lines[0]), None)


def _fields(text: str, separator: str | None) -> list[str]:
    return [field.strip() for field in text.split(separator)]


def is_number(field: str) -> bool:
    """Whether ``field`` is a number as these files write it."""
    return _NUMBER.fullmatch(field) is not None


def _is_heading(lines: list[Line], separator: str | None, what: str) -> bool:
    first = lines[0][1]
    # A line of a list may be "path/of an image.jpg 3"; a heading of columns "class 0,class 1".
    words = re.split(r"[\s,;]+", first) if what in _LISTS else _fields(first, separator)
    if any(map(is_number, words)) or (what in _LISTS and first[0].isdigit()):  # 1_000, 1'000
        return False
    return len(lines) == 1 or any(map(is_number, re.split(r"[\s,;]+", lines[1][1])))


def _check_single(lines: list[Line]) -> None:
    for number, text in lines:
        fields = _fields(text, _separator([text]))
        if len(fields) > 1:
            if all(map(is_number, fields)):
                wrong = f"{_shown(text)} are {len(fields)} numbers"
            else:
                wrong = f"{_shown(text)} is more than a number"
            raise InputError(
                f"line {number}: {wrong}; expected one whole number to a line, without paths, further "
                "columns or thousands separators"
            )
        _check_field(fields[0], number)


def _check_lines(lines: list[Line], separator: str | None) -> None:
    width = len(_fields(lines[0][1], separator))
    for number, text in lines:
        fields = _fields(text, separator)
        for field in fields:
            _check_field(field, number)
        if len(fields) != width:
            raise InputError(
                f"line {number} has {len(fields)} numbers, line {lines[0][0]} has {width}"
            )


def _check_field(field: str, number: int) -> None:
    if not is_number(field):
        raise InputError(f"line {number}: {_shown(field)} is not a number")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else repr(text[:37] + "...")
