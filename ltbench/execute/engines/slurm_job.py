"""What runs inside a job of SLURM: one trial after another, each told in a file of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.execute.engine import FINAL, Event
from ltbench.execute.event_rate import bounded
from ltbench.execute.worker import load, run_message
from ltbench.trial.holder import SILENCE

_LOOK = 0.2  # seconds between looks at the thread, the stop file and a claim
_PATIENCE = SILENCE + 60.0
"""Seconds that a job waits for the claim of another: of a node that died it is free after SILENCE."""


@dataclass(frozen=True)
class Told:
    """A trial: the message to the worker as JSON text, and the file that its events are appended to."""

    message: str
    events: str


class SlurmJob:
    """Called by submitit in the job. What is pickled are these texts and numbers, nothing else.

    trials: in their order; stop_file: once it is there, all is left at its checkpoint; wait: seconds
    that a checkpoint may take before the job is requeued.
    """

    def __init__(self, trials: list[Told], stop_file: str, wait: float) -> None:
        self.trials, self.stop_file, self.wait = trials, stop_file, wait

    def __call__(self) -> None:
        self._stop = threading.Event()
        self._requeued = False
        signal.signal(signal.SIGUSR1, lambda number, frame: self._stop.set())
        # Signals are the main thread's: it must not be inside of torch when one comes.
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        while self._thread.is_alive():
            time.sleep(_LOOK)
            if os.path.exists(self.stop_file):
                self._stop.set()

    def checkpoint(self) -> Any:
        """submitit asks for it where the time is over or the job is preempted; it then requeues what
        is returned. None where there is nothing to go on with."""
        from submitit.helpers import DelayedSubmission

        self._requeued = not os.path.exists(self.stop_file)
        self._stop.set()
        end = time.monotonic() + self.wait
        while self._thread.is_alive() and time.monotonic() < end:
            time.sleep(_LOOK)
        if not self._requeued or not self.trials:
            return None
        return DelayedSubmission(SlurmJob(self.trials, self.stop_file, self.wait))

    def _work(self) -> None:
        load()
        for told in list(self.trials):
            if self._run(told) != "requeued":
                self.trials.remove(told)

    def _run(self, told: Told) -> str:
        """The kind of the trial's last event."""
        message, last = json.loads(told.message), ""
        end = time.monotonic() + _PATIENCE

        def emit(event: Event) -> None:
            nonlocal last
            last = event["event"]
            if last == "interrupted" and self._requeued:
                event = {"event": "requeued"}
            elif last == "started":
                event = {**event, "host": socket.gethostname(), "pid": os.getpid()}
            elif last == "busy" and not self._stop.is_set() and time.monotonic() < end:
                return  # tried again below
            with Path(told.events).open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
            last = event["event"]

        while True:
            if self._stop.is_set():
                emit({"event": "interrupted"})
                return last
            run_message(message, bounded(emit), self._stop)
            if last in FINAL and (last != "busy" or time.monotonic() >= end):
                return last
            if last == "requeued":
                return last
            time.sleep(5 * _LOOK)
