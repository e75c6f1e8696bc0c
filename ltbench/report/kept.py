"""Pictures of former reports in the cache folder, by the digest of what they depend on.

A second report draws only what changed. An entry is ``figures/<digest>``: the CRC-32 of what follows it,
then the picture as :func:`ltbench.report.page.picture.packed` has it. One that is damaged counts as absent,
and so does a cache folder that cannot be read or written: pictures are then drawn, with the same bytes.
"""

from __future__ import annotations

import io
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ltbench.data.cache import cache_root
from ltbench.errors import LtbenchError
from ltbench.files import read_whole, write_bytes
from ltbench.report.helpers import Task, affordable, drawn_beside
from ltbench.report.page.picture import Picture, packed, unpacked

_CRC = 4  # bytes
_MOST = 200_000_000
"""Bytes of all entries; those used last stay."""
_OLD = 30 * 24 * 3600.0
"""Seconds after which an entry that nobody used goes."""


@contextmanager
def drawn_or_kept(
    tasks: Sequence[tuple[str, Task]],
) -> Iterator[Callable[[], list[Picture | None]]]:
    """Of each task its digest and what draws it: starts with what is not kept, as far as helpers are there.

    What is handed out gives all pictures in the order of the tasks, and keeps the new ones.
    """
    kept: dict[int, Picture | None] = {}
    for number, (digest, _) in enumerate(tasks):
        with suppress(Absent):
            kept[number] = kept_picture(digest)
    missing = [number for number in range(len(tasks)) if number not in kept]
    with drawn_beside([tasks[n][1] for n in missing], affordable(len(missing))) as pictures:

        def all_pictures() -> list[Picture | None]:
            for number, picture in zip(missing, pictures.all(), strict=True):
                kept[number] = picture
                keep_picture(tasks[number][0], picture)
            sweep_kept()
            return [kept[number] for number in range(len(tasks))]

        yield all_pictures


class Absent(Exception):
    """There is no such picture; one may be there that shows nothing."""


def kept_picture(digest: str) -> Picture | None:
    """Raises :class:`Absent`."""
    path = _folder() / digest
    try:
        content = read_whole(path, _MOST)
        if zlib.crc32(content[_CRC:]) != int.from_bytes(content[:_CRC], "big"):
            raise ValueError("damaged")
        picture = unpacked(io.BytesIO(content[_CRC:]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Absent from error
    with suppress(OSError):
        os.utime(path)  # it was used
    return picture


def keep_picture(digest: str, picture: Picture | None) -> None:
    content = packed(picture)
    with suppress(OSError, LtbenchError):
        _folder().mkdir(parents=True, exist_ok=True)
        crc = zlib.crc32(content).to_bytes(_CRC, "big")
        write_bytes(_folder() / digest, crc + content, durable=False)


def sweep_kept() -> None:
    """Removes what nobody used for a month, then what was used longest ago while there is too much."""
    with suppress(OSError):
        entries = [(entry.stat(), Path(entry)) for entry in os.scandir(_folder())]
        entries.sort(key=lambda entry: -entry[0].st_mtime)
        total, now = 0, time.time()
        for status, path in entries:
            total += status.st_size
            if total > _MOST or now - status.st_mtime > _OLD:
                path.unlink(missing_ok=True)


def _folder() -> Path:
    return cache_root() / "figures"
