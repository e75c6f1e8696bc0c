"""Worker processes on this machine: used again, watched, and ended with all that they started."""

from __future__ import annotations

import json
import math
import queue
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch

from ltbench.execute.engine import Event, Message
from ltbench.execute.leftovers import end_session, left_by_trials
from ltbench.execute.oom_kills import likely_reason, oom_kills
from ltbench.execute.process import Spare, WorkerProcess, start_worker
from ltbench.execute.resources import gpus_of_workers
from ltbench.progress import duration

_LOADING = 600.0
"""Seconds that a worker may take until it holds its trial, whose time limit begins then."""
_PATIENCE = 10.0
"""Seconds for a worker to end by itself."""
_KEPT = "what it stored stays, and the same command goes on from there"


class LocalEngine:
    """Up to ``slots`` worker processes, each used again for the next trial, dealt out among the GPUs."""

    retries = 0  # what kills a process here would kill the next one

    def __init__(self, slots: int, spare: Spare | None = None) -> None:
        self.slots = slots
        self._spare = spare
        self._events: Queue = queue.Queue()
        self._workers: list[Worker] = []

    def submit(self, message: Message) -> None:
        idle = next((worker for worker in self._workers if worker.is_idle()), None)
        if idle is None:
            gpu = self._gpu(message["settings"])
            idle = Worker(self._events, self._process(gpu), gpu)
            self._workers.append(idle)
        idle.start(message)

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        """One event at a time, so that a worker that became idle has its next trial at once."""
        try:
            worker, event = self._events.get(timeout=seconds)
        except queue.Empty:
            return
        finally:
            self._look()
        if worker not in self._workers:
            return  # the end of one that was retired
        trial = worker.trial
        if event is None:
            event = self._ended(worker)
        elif event["event"] == "started":
            worker.set_deadline()
        elif event["event"] in ("done", "failed", "interrupted", "busy"):
            worker.trial = None
            # What a trial left running must not go on beside the next one.
            if event.pop("threads_left", 0) or left_by_trials(worker.process.pid):
                self._workers.remove(worker)
                worker.retire()
        if trial is not None:
            yield trial, event

    def _look(self) -> None:
        """Ends what ran for too long, and what a worker that died left: it may hold its pipe open."""
        for worker in self._workers:
            if worker.is_over_time():
                worker.kill()
            elif worker.process.poll() is not None:
                end_session(worker.process.pid)

    def stop(self, *, now: bool = False) -> None:
        for worker in self._workers:
            if now:
                worker.kill()
            else:
                worker.send({"command": "stop"})

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def _gpu(self, settings: Mapping[str, Any]) -> str:
        """The one with the fewest workers; an empty name where there is no choice."""
        device, processes = torch.device(settings["device"]), int(settings.get("processes", 1))
        taken = Counter(worker.gpu for worker in self._workers)
        return min(gpus_of_workers(device, processes), key=lambda gpu: taken[gpu])

    def _process(self, gpu: str) -> WorkerProcess:
        spare = self._spare.take() if self._spare is not None and not gpu else None
        return spare or start_worker(gpu)

    def _ended(self, worker: Worker) -> Event:
        code = worker.wait()
        self._workers.remove(worker)
        log = worker.last_words()
        worker.close()
        if worker.was_over_time:
            line = f"it ran longer than {duration(worker.limit)}, its --timeout, and was ended; {_KEPT}"
            return {"event": "lost", "status": "timeout", "reason": line, "log": log or line}
        line = f"the worker process ended with code {code} (a crash, or killed from outside)"
        line += likely_reason(code, worker.oom_kills, oom_kills())
        return {"event": "lost", "reason": line, "log": log}


class Worker:
    """A child process; its events arrive in the shared queue as (worker, event), None at its end."""

    def __init__(self, events: Queue, started: WorkerProcess, gpu: str) -> None:
        self.gpu = gpu
        self.process, self.errors = started.popen, started.errors
        self.kill = started.kill
        self.trial: str | None = None
        self.limit = 0.0  # seconds of its trial, 0: none
        self.was_over_time = False
        self.oom_kills = oom_kills()
        self._deadline = math.inf
        self.reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self.reader.start()

    def _read(self, events: Queue) -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                events.put((self, json.loads(line)))
        except ValueError:
            pass  # a line that the end of the process cut off
        finally:
            events.put((self, None))

    def send(self, message: Message) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told by the reader

    def start(self, message: Message) -> None:
        self.trial = str(message["trial"])
        self.limit = float(message["settings"].get("timeout", 0.0))
        self.oom_kills = oom_kills()
        self.set_deadline(_LOADING)
        self.send(message)

    def is_idle(self) -> bool:
        return self.trial is None and not self.was_over_time and self.process.poll() is None

    def set_deadline(self, more: float = 0.0) -> None:
        self._deadline = time.monotonic() + self.limit + more if self.limit else math.inf

    def is_over_time(self) -> bool:
        """Also remembers it."""
        over = self.trial is not None and time.monotonic() > self._deadline
        self.was_over_time = self.was_over_time or over
        return over

    def last_words(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")[-20_000:]

    def retire(self) -> None:
        """Ends it at once, between two trials."""
        self.kill()
        self.close()

    def wait(self) -> int:
        """Its code, after its end, which is made where it does not come."""
        try:
            return self.process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def close(self) -> None:
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        self.wait()
        end_session(self.process.pid)
        self.reader.join(timeout=_PATIENCE)  # what made a session of its own may hold the pipe open
        if self.process.stdout is not None and not self.reader.is_alive():
            self.process.stdout.close()
        self.errors.close()


Queue = queue.Queue[tuple[Worker, dict[str, Any] | None]]
