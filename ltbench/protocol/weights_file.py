"""Whether a file of pretrained weights is the one that a protocol names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ltbench.errors import InputError
from ltbench.files import refuse_endless


def digest_of(file: Path, what: str = "pretrained weights", remedy: str = "") -> str:
    """SHA-256 of its bytes; raises :class:`InputError`, one line, where it cannot be read.

    what, remedy: how that line calls the file, and what it ends with.
    """
    try:
        refuse_endless(file)
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{what} {file} cannot be read: {error.strerror or error}{remedy}"
        ) from None


def told(file: str, sha256: str) -> list[str]:
    """Lines for `ltbench data check`: the digest of the file that ``[model.pretrained]`` names, and
    whether it is the stated one; none where it names none. Raises as :func:`digest_of`."""
    if not file:
        return []
    found = digest_of(Path(file))
    if not sha256:
        verdict = "not stated by the protocol; state it as model.pretrained.sha256"
    else:
        verdict = "as the protocol states" if found == sha256 else f"the protocol states {sha256}"
    return ["pretrained weights:", f"  {file}", f"  sha256 {found} ({verdict})"]


def check_digest(file: Path, sha256: str) -> None:
    """Raises :class:`InputError`, one line, unless ``file`` is there and its bytes have that SHA-256."""
    found = digest_of(file)
    if not sha256:
        raise InputError(
            f"model.pretrained.sha256 is not stated; that of {file} is {found}: state it, so that "
            "everybody starts from the same weights"
        )
    if found != sha256:
        raise InputError(f"pretrained weights {file} have the SHA-256 {found}, expected {sha256}")
