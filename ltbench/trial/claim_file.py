"""The file of a claim: put in its place whole and locked, taken over where its holder is gone."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltbench.trial.holder import SILENCE, Holder, read_holder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CLAIM = ".claim.lock"
FIXED_WHILE_OPEN = fcntl is None
"""Whether an open file can be neither removed nor renamed, as on Windows."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_TAKEN = {errno.EAGAIN, errno.EACCES}
_NO_LINKS = {*_NO_LOCKS, errno.EPERM, errno.EMLINK}
_UNSIGNED = 5.0  # seconds that a file without a holder is given: it may be about to be written


def put(own: Path, path: Path) -> bool:
    """Gives the file its name where nobody has it; only one process can."""
    try:
        os.link(own, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without links the name is taken first, by an empty file, and filled by renaming.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            return False
        own.replace(path)
    return True


def take_over(own: Path, path: Path, now: float, locks: bool) -> bool:
    """Puts the file in the place of one whose holder is gone; False where that one is held."""
    descriptor = None
    try:
        if locks:
            descriptor = _open(path)
        locked = None if descriptor is None else lock(descriptor)[0]
        if locked is False:
            return False
        with _alone(path, now) as alone:  # what is judged here, nobody else may replace
            stat = path.stat() if descriptor is None else os.fstat(descriptor)
            if not alone or not os.path.samestat(stat, path.stat()):
                return False
            if is_held(read_holder(path), now - stat.st_mtime, locked is True, mount_of(stat)):
                return False
            if FIXED_WHILE_OPEN:
                path.unlink()
                return put(own, path)
            own.replace(path)
            return True
    except FileNotFoundError:
        return False  # just released: the next attempt gets it
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def _alone(path: Path, now: float) -> Iterator[bool]:
    """Whether this process alone may judge and replace; the right lasts moments, or its holder died."""
    guard = path.parent / f"{path.name}.guard.tmp"
    try:
        os.close(os.open(guard, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        if now - guard.stat().st_mtime > _UNSIGNED:
            guard.unlink(missing_ok=True)
        yield False
        return
    try:
        yield True
    finally:
        guard.unlink(missing_ok=True)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)  # network file systems lock only what may be written
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def lock(descriptor: int, *, shared: bool = False) -> tuple[bool | None, str]:
    """Whether the lock was got, None where there are no locks, and then why."""
    if fcntl is None:
        return None, "this system has none"
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False, ""
        if error.errno not in _NO_LOCKS:
            raise
        return None, error.strerror or str(error)
    return True, ""


def mount_of(stat: os.stat_result) -> str:
    return str(stat.st_dev)


def is_held(holder: Holder | None, age: float, locked: bool, mount: str) -> bool:
    """Whether a file of ``age`` seconds since its last sign of life stands for a living holder.

    locked: this process could lock it, so nobody holds it whom the lock can see; mount: of the file here.
    """
    if holder is None:  # of an earlier ltbench, which left its files, or not written yet
        return age < _UNSIGNED
    lives = holder.lives()
    if lives is not None:
        return lives
    if locked and holder.shares_locks(mount):
        return False
    return age < SILENCE
