"""Runs a plan in local worker processes."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ltbench.execute.plan import Plan, PlannedTrial
from ltbench.execute.process import Spare, WorkerProcess, start_worker
from ltbench.execute.resources import visible_gpus
from ltbench.execute.worker import record_failure
from ltbench.trial.asked_code import Code, note_asked
from ltbench.trial.ensemble import EnsembleTrial

_BUSY_WAIT = 1.0  # seconds between looks at a trial that another process holds


@dataclass
class Failure:
    """A trial that did not work out. ``log``: the file with the traceback."""

    label: str
    error: str
    log: Path


@dataclass
class Outcome:
    """What a run came to. ``signal``: the number of the signal that stopped it, else 0."""

    finished: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    signal: int = 0

    @property
    def exit_code(self) -> int:
        if self.signal:
            return 128 + self.signal
        return 1 if self.failures else 0


Listener = Callable[[PlannedTrial, dict[str, Any]], None]


class _Worker:
    """A child process; its events arrive in the shared queue as (worker, event)."""

    def __init__(
        self,
        events: queue.Queue[tuple[_Worker, dict[str, Any] | None]],
        started: WorkerProcess,
    ) -> None:
        self.process, self.errors = started.popen, started.errors
        self.current: PlannedTrial | None = None
        self.running = False
        self.reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self.reader.start()

    def _read(self, events: queue.Queue[tuple[_Worker, dict[str, Any] | None]]) -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                events.put((self, json.loads(line)))
        except ValueError:
            pass  # a line that the end of the process cut off
        finally:
            events.put((self, None))

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told by the reader

    def start(self, planned: PlannedTrial) -> None:
        self.current = planned
        self.send({**planned.job.to_json(), "folder": str(planned.folder)})

    def last_words(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-20_000:]

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(timeout=10)  # a grandchild may hold the pipe open
        if self.process.stdout is not None and not self.reader.is_alive():
            self.process.stdout.close()
        self.errors.close()


def execute(
    plan: Plan,
    *,
    listen: Listener = lambda planned, event: None,
    spare: Spare | None = None,
) -> Outcome:
    """Runs every trial of the plan; one that fails stops no other.

    ``spare``: a worker that is already loading, used before others are started.

    The first SIGINT or SIGTERM lets each worker write a checkpoint and ends the run, a second one
    ends it at once. What code was asked for is noted first: results of it are the current ones.
    """
    note_asked_code(plan)
    return _Execution(plan, listen, spare).run()


def note_asked_code(plan: Plan) -> None:
    codes: dict[str, set[Code]] = {}
    for planned in plan.trials:
        trial = planned.trial
        found = codes.setdefault(planned.job.settings.results, set())
        members = trial.members if isinstance(trial, EnsembleTrial) else ()
        found.update(Code("method", t.training, t.digest) for t in (trial, *members))
        found.update(code for row in planned.rows for code in row.codes())
    for results, asked in codes.items():
        note_asked(Path(results), asked)


class _Execution:
    def __init__(self, plan: Plan, listen: Listener, spare: Spare | None) -> None:
        self.waiting = deque(plan.trials)
        self.jobs = plan.jobs
        self.listen = listen
        self.spare = spare
        self.outcome = Outcome()
        self.events: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self.workers: list[_Worker] = []
        self.busy: dict[str, str] = {}  # trial to whoever held it when last told
        self.told_to_stop = False

    def run(self) -> Outcome:
        with self._signals():
            try:
                while (self.waiting and not self.outcome.signal) or self._active():
                    self._fill()
                    self._pass_on_stop()
                    self._handle_event()
            finally:
                for worker in self.workers:
                    worker.close()
        return self.outcome

    def _active(self) -> bool:
        return any(worker.current for worker in self.workers)

    def _pass_on_stop(self) -> None:
        if self.outcome.signal and not self.told_to_stop:
            self.told_to_stop = True
            for worker in self.workers:
                worker.send({"command": "stop"})

    def _fill(self) -> None:
        """Gives idle workers the next trial; starts workers up to the number of jobs."""
        while self._bring_forward() and not self.outcome.signal:
            if self.waiting[0].complete:  # needs no process
                planned = self.waiting.popleft()
                self.outcome.finished.append(planned.trial.hash)
                self.listen(planned, {"event": "done"})
                continue
            idle = next((worker for worker in self.workers if worker.current is None), None)
            if idle is None:
                if len(self.workers) >= self.jobs:
                    return
                idle = _Worker(self.events, self._process())
                self.workers.append(idle)
            idle.start(self.waiting.popleft())

    def _bring_forward(self) -> bool:
        """Puts a trial first that can start now, an ensemble after its members; False: none can."""
        unfinished = {planned.trial.hash for planned in self.waiting}
        unfinished |= {w.current.trial.hash for w in self.workers if w.current is not None}
        for planned in self.waiting:
            if not unfinished & set(planned.after):
                self.waiting.remove(planned)
                self.waiting.appendleft(planned)
                return True
        return False

    def _process(self) -> WorkerProcess:
        gpus = self._gpus()
        gpu = gpus[len(self.workers) % len(gpus)]
        spare = self.spare.take() if self.spare is not None and not gpu else None
        return spare or start_worker(gpu)

    def _gpus(self) -> list[str]:
        """The GPUs among which workers are dealt out; empty names where there is no choice."""
        return visible_gpus(torch.device(self.waiting[0].job.settings.device))

    def _handle_event(self) -> None:
        try:
            worker, event = self.events.get(timeout=0.2)  # short, so that signals are noticed
        except queue.Empty:
            return
        planned = worker.current
        if event is None:
            self._worker_ended(worker)
        elif planned is None:
            return
        elif event["event"] == "busy":
            self._wait_for_other(worker, planned, event)
        else:
            if event["event"] == "started":
                worker.running = True
            self.listen(planned, event)
            if event["event"] == "done":
                self.outcome.finished.append(planned.trial.hash)
            elif event["event"] == "failed":
                self._fail(planned, event["error"])
            if event["event"] in ("done", "failed", "interrupted"):
                worker.current, worker.running = None, False

    def _wait_for_other(
        self, worker: _Worker, planned: PlannedTrial, event: dict[str, Any]
    ) -> None:
        """Another process holds this trial: take the next one, come back to it later."""
        holder = str(event.get("holder", ""))
        if self.busy.get(planned.trial.hash) != holder:
            self.busy[planned.trial.hash] = holder
            self.listen(planned, event)
        worker.current, worker.running = None, False
        self.waiting.append(planned)
        if all(other.trial.hash in self.busy for other in self.waiting if not other.after):
            time.sleep(_BUSY_WAIT)

    def _worker_ended(self, worker: _Worker) -> None:
        planned, code = worker.current, worker.process.wait()
        self.workers.remove(worker)
        if planned is not None and not self.outcome.signal:
            line = f"the worker process ended with code {code} (a crash, or killed from outside)"
            if worker.running:
                record_failure(
                    planned.folder, planned.job.to_json(), "failed", line, worker.last_words()
                )
            self.listen(planned, {"event": "failed", "error": line})
            self._fail(planned, line)
        worker.close()

    def _fail(self, planned: PlannedTrial, error: str) -> None:
        self.outcome.failures.append(Failure(planned.label, error, planned.folder / "failure.log"))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.outcome.signal:
                for worker in self.workers:
                    worker.process.kill()
                os._exit(128 + number)
            self.outcome.signal = number  # the loop passes it on: here a write may be under way

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
