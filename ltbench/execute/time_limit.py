"""A time limit as users give it: a number and its unit."""

from __future__ import annotations

import re

from ltbench.errors import InputError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def limit_seconds(text: str) -> float:
    """``"90m"`` to 5400.0; 0.0, no limit, for an empty text. Raises :class:`InputError` for anything else.

    >>> limit_seconds("1.5h")
    5400.0
    """
    if text == "":
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text) if isinstance(text, str) else None
    seconds = float(found.group(1)) * _UNITS[found.group(2)] if found else 0.0
    if not seconds:
        raise InputError(
            f"timeout = {text!r} must be a number above 0 with its unit, s, m, h or d: 90m, 1.5h"
        )
    return seconds
