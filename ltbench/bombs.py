"""ZIP archives say how much they unpack to; asked before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

LARGE, RATIO = 1 << 30, 100


class Bomb(ValueError):
    """What a small archive would unpack to is more than it can be meant to hold."""


def is_bomb(unpacked: int, stored: int) -> bool:
    """What unpacks to more than a GiB, and to more than a hundred times its own size, in bytes, holds no
    logits, features, weights or images: those do not shrink so."""
    return unpacked > max(LARGE, RATIO * stored)


def refuse_bomb(file: Path | IO[bytes], most: int | None = None) -> None:
    """Raises :class:`Bomb` where ``file`` is a ZIP archive (``.npz``, ``.pt``) that would unpack to more
    than ``most`` bytes; None: by :func:`is_bomb`. Passes over what is no archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # told by whoever reads it
    finally:
        if not isinstance(file, Path):
            file.seek(0)
    unpacked = sum(member.file_size for member in members)
    stored = sum(member.compress_size for member in members)
    if unpacked > most if most is not None else is_bomb(unpacked, stored):
        raise Bomb(f"it would unpack to {unpacked:,} bytes from {stored:,}")
