"""The local engine where trials of a GPU train as threads of one process, ``--jobs-per-gpu auto``."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import torch

from ltbench.execute.engine import FINAL, Event, Message
from ltbench.execute.engines.local import LocalEngine, Queue, Worker
from ltbench.execute.leftovers import end_session
from ltbench.execute.process import start_worker
from ltbench.execute.resources import gpus_of_workers
from ltbench.trial import store


class StreamsEngine:
    """Up to ``slots`` trials: one process a GPU trains them, processes of a local engine evaluate them.

    A process that dies takes its trials with it: each goes on from its checkpoint in a process of its own,
    so that the one that is to blame fails alone.
    """

    retries = 0

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._apart = LocalEngine(slots)
        self._trainers: dict[str, Worker] = {}
        self._events: Queue = queue.Queue()
        self._training: dict[str, tuple[Worker, Message]] = {}
        self._stopped = False

    def submit(self, message: Message) -> None:
        if message.get("members") or store.finished_trial(Path(message["folder"])) is not None:
            self._apart.submit(message)
            return
        trainer = self._trainer(message)
        self._training[str(message["trial"])] = (trainer, message)
        trainer.send(message)

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        """Waits for those who train where there are any, and then only looks at the others."""
        if not self._training:
            yield from self._apart.poll(seconds)
            return
        try:
            worker, event = self._events.get(timeout=seconds)
        except queue.Empty:
            pass
        else:
            yield from self._lost(worker) if event is None else self._told(event)
        self._look()
        yield from self._apart.poll(0.001)

    def stop(self, *, now: bool = False) -> None:
        self._stopped = True
        for trainer in self._trainers.values():
            if now:
                trainer.kill()
            else:
                trainer.send({"command": "stop"})
        self._apart.stop(now=now)

    def close(self) -> None:
        for trainer in self._trainers.values():
            trainer.close()
        self._apart.close()

    def _trainer(self, message: Message) -> Worker:
        """That of the GPU with the fewest trials."""
        busy = [worker for worker, _ in self._training.values()]
        gpus = gpus_of_workers(torch.device(message["settings"]["device"]))

        def trials(gpu: str) -> int:
            return sum(worker is self._trainers.get(gpu) for worker in busy)

        gpu = min(gpus, key=trials)
        if gpu not in self._trainers:
            started = start_worker(gpu, module="threads")
            self._trainers[gpu] = Worker(self._events, started, gpu)
        return self._trainers[gpu]

    def _look(self) -> None:
        for trainer in self._trainers.values():
            if trainer.process.poll() is not None:
                end_session(trainer.process.pid)  # what it left may hold its pipe open

    def _told(self, event: Event) -> Iterator[tuple[str, Event]]:
        trial = str(event["trial"])
        _, message = self._training[trial]
        if event["event"] in FINAL:
            del self._training[trial]
        if event["event"] == "done" and not self._stopped:
            self._apart.submit(message)
        elif event["event"] == "done":
            yield trial, {**event, "event": "interrupted"}
        else:
            yield trial, event

    def _lost(self, worker: Worker) -> Iterator[tuple[str, Event]]:
        worker.wait()
        del self._trainers[worker.gpu]
        mine = [(trial, message) for trial, (at, message) in self._training.items() if at is worker]
        log = worker.last_words()
        worker.close()
        for trial, message in mine:
            del self._training[trial]
            if self._stopped:
                line = "the process that trained it ended"
                yield trial, {"event": "lost", "reason": line, "log": log or line}
            else:
                self._apart.submit(message)
