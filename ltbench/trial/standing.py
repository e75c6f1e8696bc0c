"""Who holds a trial, as others see it: looks, and takes nothing."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from ltbench.files import refuse_endless
from ltbench.trial.claim_file import CLAIM, is_held, lock, mount_of
from ltbench.trial.holder import Holder, read_holder


@dataclass(frozen=True)
class Standing:
    """A claim that is held, as others see it. holder: None where it cannot be told; silent: seconds
    since its last sign of life, which come every :data:`~ltbench.trial.holder.HEARTBEAT`."""

    holder: Holder | None
    silent: float


def standing(folder: Path) -> Standing | None:
    """Who holds the trial right now, and since when nothing was heard of it; None where nobody does.
    Looks, and takes nothing."""
    path = folder / CLAIM
    try:
        refuse_endless(path)
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # no such file, or one that may not be read
        return None
    try:
        locked, _ = lock(descriptor, shared=True)
        holder, stat = read_holder(path), os.fstat(descriptor)
        silent = max(0.0, _time_there(folder) - stat.st_mtime)
        if locked is False or is_held(holder, silent, locked is True, mount_of(stat)):
            return Standing(holder, silent)
        return None
    finally:
        os.close(descriptor)


def is_claimed(folder: Path) -> bool:
    """Whether a live process holds the trial right now."""
    return standing(folder) is not None


def _time_there(folder: Path) -> float:
    """Now, by the clock that stamps the files of ``folder``: a host's own may be minutes off. Its own
    counts where nothing can be written."""
    path = folder / f".claim.{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError:
        return time.time()
    try:
        os.write(descriptor, b"\n")
        return os.fstat(descriptor).st_mtime
    except OSError:
        return time.time()
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def holder_of(folder: Path) -> Holder | None:
    """Who holds the trial right now; None where nobody does, or nobody who is named."""
    found = standing(folder)
    return found.holder if found is not None else None
