"""ZIP archives say how much they unpack to; asked before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

LARGE, RATIO = 1 << 30, 100
"""What unpacks to more bytes than ``LARGE``, and to more than ``RATIO`` times its own size, holds no logits,
features, weights or images: those do not shrink so."""


class Bomb(ValueError):
    """What a small archive would unpack to is more than it can be meant to hold."""


def refuse_bomb(file: Path | IO[bytes], most: int | None = None) -> None:
    """Raises :class:`Bomb` where ``file`` is a ZIP archive (``.npz``, ``.pt``) that would unpack to more
    than ``most`` bytes; None: by :data:`LARGE` and :data:`RATIO`. Passes over what is no archive.
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
    if unpacked > (max(LARGE, RATIO * stored) if most is None else most):
        raise Bomb(f"it would unpack to {unpacked:,} bytes from {stored:,}")
