"""Trials in this process, one after the other: what tests need whose subject is no process.

A worker takes three seconds to import torch; what it does with a job is the same function.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

from ltbench.execute import prepare
from ltbench.execute.engine import Event, Message, Start
from ltbench.execute.engines.here import Local
from ltbench.execute.process import Spare
from ltbench.execute.worker import run_message


class InProcess:
    """An engine of one slot. A job runs to its end within :meth:`poll`, its events follow."""

    slots = 1
    retries = 0

    def __init__(self, start: Start) -> None:
        self._waiting: deque[Message] = deque()
        self._stop = threading.Event()

    def submit(self, message: Message) -> None:
        self._waiting.append(message)

    def poll(self, seconds: float) -> Iterator[tuple[str, Event]]:
        if not self._waiting:
            return
        message = json.loads(json.dumps(dict(self._waiting.popleft())))  # only JSON crosses
        events: list[Event] = []
        threads, random = torch.get_num_threads(), torch.random.get_rng_state()
        message["settings"]["threads"] = 1
        try:
            with (
                open(os.devnull, "w") as nowhere,
                redirect_stdout(nowhere),  # as a worker: what a plugin prints is no event
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("default")  # a worker has no filters of pytest
                run_message(
                    message,
                    lambda event: events.append(_crossed({"trial": message["trial"], **event})),
                    self._stop,
                )
        finally:
            torch.set_num_threads(threads)
            torch.random.set_rng_state(random)
        for event in events:
            yield message["trial"], event

    def stop(self, *, now: bool = False) -> None:
        self._stop.set()

    def close(self) -> None:
        self._waiting.clear()


def _crossed(event: Event) -> Event:
    told: Event = json.loads(json.dumps(event))
    return told


def without_workers(patch: pytest.MonkeyPatch) -> None:
    """Until ``patch`` is undone, trials of the local engine run here. Not for tests that edit a plugin
    between two runs, stop or kill, or whose plugins end the process."""
    started = Spare.__init__
    patch.setattr(Spare, "__init__", lambda self, *, wanted: started(self, wanted=False))
    patch.setattr(Local, "start", lambda self, start: InProcess(start))


def unchecked(patch: pytest.MonkeyPatch | None = None) -> None:
    """Until ``patch`` is undone, else for good, this process runs plugins without checking them before: for
    those that only serve a test, which take half a second each time."""
    (patch or pytest.MonkeyPatch()).setattr(prepare, "refuse_unsound", lambda *_: None)


def once(
    environment: Mapping[str, str], folder: Path, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """``ltbench`` as ``ltbench_here`` runs it, for what the tests of a module share."""
    from ltbench.cli import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        without_workers(patch)
        for key, value in environment.items():
            patch.setenv(key, value)
        patch.chdir(folder)
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(arguments, ended.value.code, out.getvalue(), err.getvalue())
