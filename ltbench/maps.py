"""Tensors that are maps of files, and giving their pages back: resident memory stays bounded, too.

A page of a map counts as memory of the process from the first touch until the system wants it back.
Whoever works through a table piece by piece is done with a piece for now: :func:`release` lets go of
what was touched, and the next touch reads the file (as a rule the system's cache of it) again.
"""

from __future__ import annotations

import mmap
import weakref
from typing import BinaryIO

LARGE = 2**30
"""Bytes of a table, above which it is a map of a file and not in memory."""
_OPEN: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def map_file(file: BinaryIO, *, shared: bool = False) -> mmap.mmap:
    """All of ``file``, lazily. It may be closed; the map lasts as long as a tensor that uses it.

    shared: what is written into the map goes to the file, and :func:`release` keeps it. Otherwise
    the file is never changed, and what was written is lost with the page.
    """
    access = mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY
    found = mmap.mmap(file.fileno(), 0, access=access)
    _OPEN.add(found)
    return found


def release() -> None:
    """Gives back the pages of all maps of :func:`map_file`; nothing where the system cannot."""
    if hasattr(mmap, "MADV_DONTNEED"):
        for one in _OPEN:
            one.madvise(mmap.MADV_DONTNEED)
