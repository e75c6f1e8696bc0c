"""The right of one process to write a trial's folder. It ends with its holder, however that ends.

A claim is a file that names its holder; it gets its name whole and locked (``flock``), and is removed
at release. What a killed holder left is taken over: at once where the system's lock or the process
table of this machine says that the holder is gone, elsewhere after :data:`ltbench.trial.holder.SILENCE`
seconds without a sign of life. So a file system without locks, or with locks that other hosts do not
see, still has one holder at a time. A holder that was silent for so long and comes back (a frozen process,
a network that was gone) finds out before it writes: :class:`ClaimLostError`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ltbench.errors import InterruptedRun, LtbenchError
from ltbench.files import guarded
from ltbench.trial.claim_file import (
    CLAIM,
    FIXED_WHILE_OPEN,
    lock,
    mount_of,
    put,
    take_over,
)
from ltbench.trial.holder import HEARTBEAT, Holder, read_holder

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
        if FIXED_WHILE_OPEN:
            os.close(self._descriptor)
        if not self._taken_over():
            with suppress(OSError):  # the folder may be gone with the file
                self.path.unlink()
        if not FIXED_WHILE_OPEN:
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


def _acquire(path: Path) -> Claim:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        holder = Holder.here()
        own = path.parent / f".claim.{holder.token}.tmp"
        descriptor = None
        try:
            descriptor = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            holder = replace(holder, mount=mount_of(os.fstat(descriptor)))
            os.write(descriptor, holder.to_bytes())
            _, no_locks = lock(descriptor)
            now = os.fstat(descriptor).st_mtime  # by the clock that stamps the other's file, too
            if put(own, path) or take_over(own, path, now, not no_locks):
                held, descriptor = descriptor, None
                return Claim(path, holder, held, no_locks)
        except FileNotFoundError:  # the folder went, being empty, or a sweep took the file
            path.parent.mkdir(parents=True, exist_ok=True)
        finally:
            if descriptor is not None:
                os.close(descriptor)
            own.unlink(missing_ok=True)
    raise BusyError(path.parent, read_holder(path))
