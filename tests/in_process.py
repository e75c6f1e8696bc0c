"""Trials in a thread of the tests' own process: the same code and the same bits as in a worker, without the
seconds in which a worker loads torch. For tests whose subject is not the process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from ltbench.execute.engine import Event, Message, Start
from ltbench.execute.engines.local import Local
from ltbench.execute.process import Spare


class InProcess:
    """One trial after the other, each in a thread that is new, as a worker's main thread is."""

    slots = 1
    retries = 0

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[str, Event]] = queue.Queue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, message: Message) -> None:
        from ltbench.execute.worker import run_message

        trial = str(message["trial"])

        def work() -> None:
            run_message(message, lambda event: self._events.put((trial, event)), self._stop)

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        try:
            yield self._events.get(timeout=seconds)
        except queue.Empty:
            return

    def stop(self, *, now: bool = False) -> None:
        self._stop.set()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join()


def without_workers(patch: pytest.MonkeyPatch) -> None:
    """Until ``patch`` is undone, trials of the local engine run here."""

    def start(engine: Local, asked: Start) -> InProcess:
        return InProcess()

    def wanted(spare: Spare, *, wanted: bool) -> None:
        spare._worker = None

    patch.setattr(Local, "start", start)
    patch.setattr(Spare, "__init__", wanted)
