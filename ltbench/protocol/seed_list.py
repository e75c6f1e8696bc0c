"""Training seeds as a user gives them: a count or a list, wherever they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ltbench.errors import InputError
from ltbench.settings import shorten

MOST = 10_000
"""Seeds of one request. A count beyond it can only be a mistake, and its list would fill memory."""
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})", re.ASCII)
_LIMIT = 2**63


def read_seeds(value: Any, where: str = "seeds") -> tuple[int, ...]:
    """``5`` or ``"5"``: seeds 0 to 4; ``[0, 3]`` or ``"0,3"``: 0 and 3; ``"2-4"``: 2, 3 and 4.

    One notation has one meaning in protocol files, on the command line and in Python. Raises
    :class:`InputError` for anything else, for a seed given twice and for more than :data:`MOST`.
    """
    return _read(value, f"{where} = {shorten(value)}")


def read_optional_seeds(value: Any, where: str) -> tuple[int, ...] | None:
    return None if value is None else read_seeds(value, where)


def parse_seeds(text: str) -> tuple[int, ...]:
    """:func:`read_seeds` of the option ``--seeds``."""
    return _read(text, f"seeds {shorten(text)}")


def check_seeds(seeds: Sequence[int]) -> None:
    """The same for seeds that are a list already."""
    _listed(seeds, f"seeds = {shorten(list(seeds))}")


def _read(value: Any, shown: str) -> tuple[int, ...]:
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        numbers = [number for part in parts for number in _numbers(part, shown)]
        counted = len(parts) == 1 and not _RANGE.fullmatch(parts[0])
        return _counted(numbers[0], shown) if counted else _listed(numbers, shown)
    if isinstance(value, Iterable):
        return _listed([_number(item, shown) for item in value], shown)
    return _counted(_number(value, shown), shown)


def _numbers(part: str, shown: str) -> Sequence[int]:
    """A number, or all of a range with both its ends."""
    found = _RANGE.fullmatch(part)
    if found is None:
        return [_number(part, shown)]
    first, last = map(int, found.groups())
    if not first <= last < first + MOST:
        raise InputError(f"{shown}: the range {part} must go up, over at most {MOST:,} seeds")
    return range(first, last + 1)


def _number(value: Any, shown: str) -> int:
    text = isinstance(value, str)
    if isinstance(value, bool) or (text and not _NUMBER.fullmatch(value)):
        raise InputError(f"{shown} must be a count (5) or a list (0,3)")
    try:
        return int(value) if text else int(value.__index__())
    except (AttributeError, TypeError, ValueError):  # ValueError: thousands of digits
        raise InputError(f"{shown} must be a count (5) or a list (0,3)") from None


def _counted(count: int, shown: str) -> tuple[int, ...]:
    if count < 1:
        raise InputError(f"{shown}: the count must be at least 1")
    if count > MOST:
        raise InputError(f"{shown}: the count must be at most {MOST:,}")
    return tuple(range(count))


def _listed(numbers: Sequence[int], shown: str) -> tuple[int, ...]:
    if not numbers or min(numbers) < 0:
        raise InputError(f"{shown} must be whole numbers of at least 0")
    if max(numbers) >= _LIMIT:
        raise InputError(f"{shown}: a seed must be below 2^63")
    if len(numbers) > MOST:
        raise InputError(f"{shown}: at most {MOST:,} seeds make one request")
    if len(set(numbers)) != len(numbers):
        raise InputError(f"{shown} must differ from one another")
    return tuple(numbers)
