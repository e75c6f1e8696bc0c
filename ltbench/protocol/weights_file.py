"""Whether a file of pretrained weights is the one that a protocol names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ltbench.errors import InputError


def check_digest(file: Path, sha256: str) -> None:
    """Raises :class:`InputError`, one line, unless ``file`` is there and its bytes have that SHA-256."""
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"pretrained weights {file} cannot be read: {error.strerror or error}"
        ) from None
    if not sha256:
        raise InputError(
            f"model.pretrained.sha256 is not stated; that of {file} is {found}: state it, so that "
            "everybody starts from the same weights"
        )
    if found != sha256:
        raise InputError(f"pretrained weights {file} have the SHA-256 {found}, expected {sha256}")
