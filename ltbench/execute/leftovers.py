"""What the code of plugins leaves running: processes of a worker's session. Needs no torch.

A worker leads a session of its own, and every process that it or its children start belongs to that, as
long as it does not make a session for itself. Where there is no ``/proc`` the process group stands in.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_PROC = Path("/proc")
_ROUNDS = 5  # a process may start another one while it is looked at
_HELPERS = (
    b"from multiprocessing.resource_tracker import",
    b"from multiprocessing.forkserver import",
    b"torch/_inductor/compile_worker",
)
"""Words of processes that Python's and torch's own machinery keeps for the next trial."""


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    session: int


def left_of(leader: int) -> list[int]:
    """The processes of the session of ``leader`` but itself; none where the system has no ``/proc``."""
    return [found.pid for found in _members(leader)]


def left_by_trials(leader: int) -> list[int]:
    """The same without what serves the next trial."""
    return [p.pid for p in _members(leader) if not (p.parent == leader and _is_helper(p.pid))]


def end_session(leader: int) -> None:
    """Kills all that is left of the session of ``leader``, which ended already, or is this process.

    It stays alive itself where it is this process and the system has ``/proc``.
    """
    for _ in range(_ROUNDS):
        found = left_of(leader)
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break
    if not _PROC.is_dir() and hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def leave(code: int = 0) -> NoReturn:
    """Ends this process, which leads its session, with all that it started.

    Neither threads are waited for nor objects taken apart: files are always whole.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        end_session(os.getpid())
    os._exit(code)


def _members(leader: int) -> Iterator[_Process]:
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # The name, in brackets, may hold anything.
            state, parent, _, session = path.read_text("latin-1").rpartition(")")[2].split()[:4]
            found = _Process(int(path.parent.name), int(parent), int(session))
            if found.session == leader and found.pid != leader and state not in "ZX":
                yield found


def _is_helper(pid: int) -> bool:
    with suppress(OSError):
        line = (_PROC / str(pid) / "cmdline").read_bytes()
        return any(words in line for words in _HELPERS)
    return False
