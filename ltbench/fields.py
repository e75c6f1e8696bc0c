"""Checks of single fields of what a plugin asks for: one line that says what would be right."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltbench.errors import InputError, nearest


def one_of(field: str, value: object, choices: Sequence[str]) -> None:
    """Raises :class:`InputError` unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        listed = " or ".join(map(repr, choices))
        hint = nearest(value, choices) if isinstance(value, str) else ""
        raise InputError(f"{field} = {value!r} must be {listed}{hint}")


def whole_number(field: str, value: object, *, at_least: int) -> None:
    """Raises :class:`InputError` unless ``value`` is an int (no bool) of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise InputError(f"{field} = {value!r} must be a whole number of at least {at_least}")


def positive_number(field: str, value: object) -> None:
    """Raises :class:`InputError` unless ``value`` is a finite number above 0 (no bool)."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and value > 0):  # type: ignore[arg-type, operator]
        raise InputError(f"{field} = {value!r} must be a number above 0")


def true_or_false(field: str, value: object) -> None:
    """Raises :class:`InputError` unless ``value`` is a bool."""
    if not isinstance(value, bool):
        raise InputError(f"{field} = {value!r} must be True or False")
