"""The right of one process to write a trial's folder. It ends with its holder, however that ends.

A claim is a file that names its holder; it gets its name whole and locked (``flock``), and is removed
at release. What a killed holder left is taken over: at once where the system's lock or the process
table of this machine says that the holder is gone, elsewhere after :data:`ltbench.trial.holder.SILENCE`
seconds without a sign of life. So a file system without locks, or with locks that other hosts do not
see, still has one holder at a time. A holder that was silent for so long and comes back (a frozen process,
a network that was gone) finds out before it writes: :class:`ClaimLostError`.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ltbench.errors import InterruptedRun, LtbenchError
from ltbench.files import guarded
from ltbench.trial.holder import HEARTBEAT, SILENCE, Holder, read_holder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CLAIM = ".claim.lock"

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_TAKEN = {errno.EAGAIN, errno.EACCES}
_NO_LINKS = {*_NO_LOCKS, errno.EPERM, errno.EMLINK}
_UNSIGNED = 5.0  # seconds that a file without a holder is given: it may be about to be written
_TRIES = 5  # others may come and go, and whoever only looks holds the lock for a moment
_PAUSE = 0.03
_PATIENCE = 10.0


class BusyError(Exception):
    """Another live process holds the trial. holder: which; None where it cannot be told."""

    def __init__(self, folder: Path, holder: Holder | None) -> None:
        super().__init__(str(folder))
        self.holder = holder


class ClaimLostError(InterruptedRun):
    """Another process took the trial over, since this one gave no sign of life for too long."""


class Claim:
    """A claim that is held. no_locks: why locks do not work here, else empty."""

    def __init__(self, path: Path, holder: Holder, descriptor: int, no_locks: str) -> None:
        self.path, self.holder, self.no_locks = path, holder, no_locks
        self._descriptor = descriptor
        self._lost = threading.Event()
        self._released = threading.Event()
        self._beat = threading.Thread(target=self._give_signs_of_life, daemon=True)
        self._beat.start()

    @property
    def lost(self) -> bool:
        """Whether another process took over, since this one gave no sign of life for too long."""
        return self._lost.is_set()

    def check(self) -> None:
        """Raises :class:`ClaimLostError` where the claim is another's by now; looks into the file."""
        if self.lost or self._taken_over():
            self._lost.set()
            raise ClaimLostError(f"{self.path.parent} was taken over by another process")

    def _give_signs_of_life(self) -> None:
        while not self._released.wait(HEARTBEAT):
            if self._taken_over():
                self._lost.set()
                return
            with suppress(OSError):  # a network that fails now may be back the next time
                # Written, not touched: the time is then that of the file server.
                os.pwrite(self._descriptor, self.holder.to_bytes(), 0)
                os.fsync(self._descriptor)

    def _taken_over(self) -> bool:
        try:
            found = Holder.from_bytes(self.path.read_bytes())
        except FileNotFoundError:  # whoever took over is done with it
            return True
        except OSError:  # a network that fails now: nothing is known
            return False
        return found is not None and found.token != self.holder.token

    def release(self) -> None:
        """Removes the file, unless it is another's by now."""
        self._released.set()
        self._beat.join(timeout=5)
        if fcntl is None:  # an open file cannot be removed there
            os.close(self._descriptor)
        if not self._taken_over():
            with suppress(OSError):  # the folder may be gone with the file
                self.path.unlink()
        if fcntl is not None:
            os.close(self._descriptor)  # and its lock: only now, so that nobody meets it unlocked


@contextmanager
def claim(folder: Path) -> Iterator[Claim]:
    """Holds the trial for this process; raises :class:`BusyError` at once where another does.

    Within, writing a file there raises :class:`ClaimLostError` if the claim was lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = _acquire(folder / CLAIM)
    try:
        with guarded(folder, held.check):
            yield held
    finally:
        held.release()


@contextmanager
def turn(path: Path, what: str) -> Iterator[None]:
    """Waits for a claim that everybody holds for moments only, here under the name ``path``.

    Raises :class:`LtbenchError` that names the holder where it takes too long. what: is written
    meanwhile.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            held = _acquire(path)
            break
        except BusyError as busy:
            if time.monotonic() > end:
                who = busy.holder or "another process"
                raise LtbenchError(f"{what} is being written by {who}; try again later") from None
    try:
        yield
    finally:
        held.release()


@dataclass(frozen=True)
class Standing:
    """A claim that is held, as others see it. holder: None where it cannot be told; silent: seconds
    since its last sign of life, which come every :data:`HEARTBEAT`."""

    holder: Holder | None
    silent: float


def standing(folder: Path) -> Standing | None:
    """Who holds the trial right now, and since when nothing was heard of it; None where nobody does.
    Looks, and takes nothing."""
    path = folder / CLAIM
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # no such file, or one that may not be read
        return None
    try:
        locked, _ = _lock(descriptor, shared=True)
        holder, stat = read_holder(path), os.fstat(descriptor)
        silent = max(0.0, _time_there(folder) - stat.st_mtime)
        if locked is False or _is_held(holder, silent, locked is True, _mount(stat)):
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


def _acquire(path: Path) -> Claim:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        holder = Holder.here()
        own = path.parent / f".claim.{holder.token}.tmp"
        descriptor = None
        try:
            descriptor = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            holder = replace(holder, mount=_mount(os.fstat(descriptor)))
            os.write(descriptor, holder.to_bytes())
            _, no_locks = _lock(descriptor)
            now = os.fstat(descriptor).st_mtime  # by the clock that stamps the other's file, too
            if _put(own, path) or _take_over(own, path, now, not no_locks):
                held, descriptor = descriptor, None
                return Claim(path, holder, held, no_locks)
        except FileNotFoundError:  # the folder went, being empty, or a sweep took the file
            path.parent.mkdir(parents=True, exist_ok=True)
        finally:
            if descriptor is not None:
                os.close(descriptor)
            own.unlink(missing_ok=True)
    raise BusyError(path.parent, read_holder(path))


def _put(own: Path, path: Path) -> bool:
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


def _take_over(own: Path, path: Path, now: float, locks: bool) -> bool:
    """Puts the file in the place of one whose holder is gone; False where that one is held."""
    descriptor = None
    try:
        if locks:
            descriptor = _open(path)
        locked = None if descriptor is None else _lock(descriptor)[0]
        if locked is False:
            return False
        with _alone(path, now) as alone:  # what is judged here, nobody else may replace
            stat = path.stat() if descriptor is None else os.fstat(descriptor)
            if not alone or not os.path.samestat(stat, path.stat()):
                return False
            if _is_held(read_holder(path), now - stat.st_mtime, locked is True, _mount(stat)):
                return False
            if fcntl is None:  # an open file cannot be renamed there
                path.unlink()
                return _put(own, path)
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


def _lock(descriptor: int, *, shared: bool = False) -> tuple[bool | None, str]:
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


def _mount(stat: os.stat_result) -> str:
    return str(stat.st_dev)


def _is_held(holder: Holder | None, age: float, locked: bool, mount: str) -> bool:
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
