"""Worker processes on this machine."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ltbench.execute.engine import Event, Message, Sharing, Start
from ltbench.execute.process import Spare, WorkerProcess, start_worker
from ltbench.execute.resources import gpus_of_workers, share
from ltbench.trial.environment import resolve_device


@dataclass(frozen=True)
class Local:
    """``--engine local``, the default; it has no settings."""

    here: ClassVar[bool] = True
    detachable: ClassVar[bool] = False

    def check(self) -> None:
        pass

    def device(self, word: str) -> str:
        return resolve_device(word).type

    def share(self, asked: Sharing) -> tuple[int, int]:
        device = resolve_device(asked.device)
        return share(
            asked.jobs, asked.jobs_per_gpu, asked.trials, device, asked.memory, asked.processes
        )

    def start(self, start: Start) -> LocalEngine:
        return LocalEngine(start.jobs, start.spare)


class LocalEngine:
    """Up to ``slots`` worker processes, each used again for the next trial, dealt out among the GPUs."""

    retries = 0  # what kills a process here would kill the next one

    def __init__(self, slots: int, spare: Spare | None = None) -> None:
        self.slots = slots
        self._spare = spare
        self._events: _Queue = queue.Queue()
        self._workers: list[_Worker] = []

    def submit(self, message: Message) -> None:
        idle = next((worker for worker in self._workers if worker.trial is None), None)
        if idle is None:
            idle = _Worker(self._events, self._process(message["settings"]))
            self._workers.append(idle)
        idle.start(message)

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        """One event at a time, so that a worker that became idle has its next trial at once."""
        try:
            worker, event = self._events.get(timeout=seconds)
        except queue.Empty:
            return
        trial = worker.trial
        if event is None:
            event = self._ended(worker)
        elif event["event"] in ("done", "failed", "interrupted", "busy"):
            worker.trial = None
        if trial is not None:
            yield trial, event

    def stop(self, *, now: bool = False) -> None:
        for worker in self._workers:
            if now:
                worker.process.kill()
            else:
                worker.send({"command": "stop"})

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def _process(self, settings: Mapping[str, Any]) -> WorkerProcess:
        device, processes = torch.device(settings["device"]), int(settings.get("processes", 1))
        gpus = gpus_of_workers(device, processes)  # empty names where there is no choice
        gpu = gpus[len(self._workers) % len(gpus)]
        spare = self._spare.take() if self._spare is not None and not gpu else None
        return spare or start_worker(gpu)

    def _ended(self, worker: _Worker) -> Event:
        code = worker.process.wait()
        self._workers.remove(worker)
        line = f"the worker process ended with code {code} (a crash, or killed from outside)"
        log = worker.last_words()
        worker.close()
        return {"event": "lost", "reason": line, "log": log}


class _Worker:
    """A child process; its events arrive in the shared queue as (worker, event), None at its end."""

    def __init__(self, events: _Queue, started: WorkerProcess) -> None:
        self.process, self.errors = started.popen, started.errors
        self.trial: str | None = None
        self.reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self.reader.start()

    def _read(self, events: _Queue) -> None:
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
        self.send(message)

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


_Queue = queue.Queue[tuple[_Worker, dict[str, Any] | None]]
