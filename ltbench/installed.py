"""Entry points of installed packages, read once as long as ``sys.path`` and its folders stay as they are.

:func:`importlib.metadata.entry_points` opens a file of every installed package, some milliseconds each
time, and one command asks a dozen times.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Any


def entry_points(*, group: str) -> tuple[EntryPoint, ...]:
    """Those of ``group``; a package that was installed meanwhile is found."""
    return tuple(_all(_state()).select(group=group))


def _state() -> tuple[tuple[str, int], ...]:
    """The folders that are searched, and when something was put into each or taken out."""
    return tuple((folder, _changed(folder)) for folder in sys.path)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or os.curdir).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4)
def _all(state: tuple[tuple[str, int], ...]) -> Any:  # its type is another in Python 3.12
    return metadata.entry_points()
