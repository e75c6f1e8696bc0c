"""Figures drawn by further processes while this one makes the tables.

A helper is a fork: it has the records that were read, and nothing is sent to it but the numbers of
figures, which all take from one pipe. What it draws comes back as bytes in a file in memory. Files are
written by the first process alone, so that errors are those of a report without helpers; what a helper
did not deliver is drawn here, where its error appears.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import current_process
from typing import BinaryIO

from ltbench.report.page.picture import Picture, packed, unpacked

Task = Callable[[], Picture | None]
"""Draws one figure, or makes another file in the shape of one; None where there is nothing to show."""

MOST = 3  # each may come to hold a copy of the records
PER_HELPER = 4  # figures below which a helper is not worth its start
_NUMBER = 4  # bytes; a pipe hands over so few at once


@dataclass(frozen=True)
class Helper:
    pid: int
    output: BinaryIO


class Pictures:
    """Of all ``tasks``, drawn by ``helpers`` and by whoever asks for them."""

    def __init__(self, tasks: Sequence[Task], helpers: Sequence[Helper], queue: BinaryIO | None):
        self._tasks, self._helpers, self._queue = tasks, helpers, queue

    def all(self) -> list[Picture | None]:
        """In the order of the tasks; takes part in the drawing until nothing is left."""
        found: dict[int, Picture | None] = {}
        if self._queue is not None:
            for number in _numbers(self._queue):
                found[number] = self._tasks[number]()
        for helper in self._helpers:
            with suppress(ChildProcessError):  # whoever embeds ltbench may reap all children
                os.waitpid(helper.pid, 0)
            found |= _delivered(helper.output)
        return [
            found[number] if number in found else task() for number, task in enumerate(self._tasks)
        ]


def affordable(tasks: int) -> int:
    """Helpers for so many figures: one a further core, and none where a fork is not safe.

    A fork has only the thread that forks: a lock that another holds stays shut in it, and so does the
    OpenMP of torch. Elsewhere than on Linux libraries of the system do not stand a fork. A daemon is
    one of a pool, whose other processes have the cores.
    """
    if sys.platform != "linux" or "torch" in sys.modules:
        return 0
    if threading.active_count() > 1 or current_process().daemon:
        return 0
    return max(0, min(len(os.sched_getaffinity(0)) - 1, tasks // PER_HELPER, MOST))


@contextmanager
def drawn_beside(tasks: Sequence[Task], helpers: int) -> Iterator[Pictures]:
    """Starts so many helpers, which end with the context; 0: the tasks wait until they are asked for."""
    if not helpers:
        yield Pictures(tasks, (), None)
        return
    end, start = os.pipe()
    with os.fdopen(end, "rb", buffering=0) as queue:
        os.set_blocking(start, False)
        for number in range(len(tasks)):  # what a pipe does not take is drawn at the end
            with suppress(BlockingIOError):
                os.write(start, number.to_bytes(_NUMBER, "big"))
        os.close(start)
        started = [_started(tasks, queue) for _ in range(helpers)]
        try:
            yield Pictures(tasks, started, queue)
        finally:
            for helper in started:
                _end(helper)


def _started(tasks: Sequence[Task], queue: BinaryIO) -> Helper:
    output = os.fdopen(os.memfd_create("figures"), "r+b")  # type: ignore[attr-defined,unused-ignore]
    with warnings.catch_warnings():
        # Those of numpy's BLAS, which ends and starts them around a fork itself.
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        pid = os.fork()
    if pid:
        return Helper(pid, output)
    status = 1
    try:
        _draw(tasks, queue, output)
        status = 0
    finally:
        os._exit(status)  # nothing of the first process is flushed, closed or told twice


def _draw(tasks: Sequence[Task], queue: BinaryIO, output: BinaryIO) -> None:
    for number in _numbers(queue):
        output.write(b"%d\n" % number + packed(tasks[number]()))
        output.flush()


def _numbers(queue: BinaryIO) -> Iterator[int]:
    while taken := queue.read(_NUMBER):
        yield int.from_bytes(taken, "big")


def _delivered(output: BinaryIO) -> dict[int, Picture | None]:
    """What a helper that has ended wrote as a whole."""
    found: dict[int, Picture | None] = {}
    output.seek(0)
    with suppress(ValueError):  # it ended within one
        while (line := output.readline()).endswith(b"\n"):
            found[int(line)] = unpacked(output)
    return found


def _end(helper: Helper) -> None:
    with suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(helper.pid, os.WNOHANG) == (0, 0):
            os.kill(helper.pid, signal.SIGKILL)
            os.waitpid(helper.pid, 0)
    helper.output.close()
