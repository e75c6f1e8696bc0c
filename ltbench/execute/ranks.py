"""The worker's side of a training by several processes: it starts them, passes on what the first one
tells, and ends all when one fails. It trains nothing itself and holds the claim of the folder."""

from __future__ import annotations

import json
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ltbench.errors import DivergedError, InterruptedRun, LtbenchError
from ltbench.execute.engine import Event
from ltbench.execute.job import Job
from ltbench.execute.leftovers import end_session
from ltbench.execute.process import start_worker
from ltbench.execute.rank import PEER_GONE
from ltbench.trial import store

_LOOK = 0.2
"""Seconds between two looks whether to stop."""
_REASON = 10.0
"""Seconds to wait for why a process is gone, once another one misses it."""


class RankFailed(LtbenchError):
    """A process of a trial failed or is gone; ``log`` is what it left."""

    def __init__(self, line: str, log: str) -> None:
        super().__init__(line)
        self.log = log


def train_together(
    job: Job,
    message: Mapping[str, Any],
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> None:
    """Trains the trial of ``message`` unless that is done; evaluates nothing.

    Raises :class:`InterruptedRun` after a checkpoint, :class:`DivergedError` and :class:`RankFailed`,
    one line, when all processes have ended.
    """
    folder = Path(message["folder"])
    if job.members or store.finished_trial(folder) is not None:
        return
    store.sweep_temporaries(folder)
    with tempfile.TemporaryDirectory(prefix="ltbench-") as place:
        meeting = str(Path(place) / "meeting")
        events: _Events = queue.Queue()
        ranks: list[_Rank] = []
        try:
            for rank in range(job.settings.processes):
                ranks.append(_Rank(rank, {**message, "rank": rank, "meeting": meeting}, events))
            _follow(ranks, events, emit, should_stop)
        finally:
            for each in ranks:
                each.end()


def _follow(
    ranks: list[_Rank],
    events: _Events,
    emit: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> None:
    ended: dict[int, Event] = {}
    missed: Event | None = None
    deadline, told = float("inf"), False
    while len(ended) < len(ranks):
        if not told and should_stop():
            told = True
            ranks[0].send({"command": "stop"})
        if missed is not None and time.monotonic() > deadline:
            raise RankFailed(str(missed["error"]), str(missed["log"]))
        try:
            rank, event = events.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if event is None:
            if rank not in ended:
                raise ranks[rank].lost(len(ranks))
        elif event["event"] == "failed":
            raise _failure(event)
        elif event["event"] == PEER_GONE:
            if missed is None:
                missed, deadline = event, time.monotonic() + _REASON
            ended[rank] = event
        elif event["event"] in ("done", "interrupted"):
            ended[rank] = event
        elif rank == 0:
            emit(event)
    if missed is not None:
        raise RankFailed(str(missed["error"]), str(missed["log"]))
    if ended[0]["event"] == "interrupted":
        raise InterruptedRun(str(ended[0]["error"]))


def _failure(event: Event) -> LtbenchError:
    line = str(event["error"])
    if "diverged" in event:
        at = event["diverged"]
        return DivergedError(line, at["epoch"], at["step"], at["lr"])
    failed = RankFailed(line, str(event["log"]))
    if event.get("oom"):
        failed.__cause__ = MemoryError(line)  # by which the worker knows it
    return failed


class _Rank:
    """A process; its events arrive in the shared queue as (rank, event), None at its end."""

    def __init__(self, rank: int, message: Mapping[str, Any], events: _Events) -> None:
        self.rank = rank
        started = start_worker(module="rank")
        self._process, self._errors = started.popen, started.errors
        self._reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self._reader.start()
        self.send(message)

    def _read(self, events: _Events) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                events.put((self.rank, json.loads(line)))
        except ValueError:
            pass  # a line that the end of the process cut off
        finally:
            events.put((self.rank, None))

    def send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told by the reader

    def lost(self, size: int) -> RankFailed:
        """What to say of one that ended without a word."""
        code = self._process.wait()
        self._errors.seek(0)
        log = self._errors.read().decode("utf-8", "replace")[-20_000:]
        return RankFailed(
            f"process {self.rank + 1} of {size} of the trial ended with code {code} (a crash, or killed "
            "from outside); the same command continues",
            log or f"it ended with code {code} and left no word",
        )

    def end(self) -> None:
        self._process.kill()  # one that has told its last is at its end anyway
        self._process.wait()
        end_session(self._process.pid)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(timeout=10)  # a grandchild may hold the pipe open
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        self._errors.close()


_Events = queue.Queue[tuple[int, Event | None]]
