"""How a process of a run is told what to do, and tells what it does: JSON lines on its pipes."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from ltbench.execute.engine import Event
from ltbench.execute.leftovers import leave


class Commands:
    """Reads stdin in a thread: jobs go into a queue, ``stop`` sets a flag, its end ends the process."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.stop = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if message.get("command") == "stop":
                self.stop.set()
                self.jobs.put({"command": "quit"})
            else:
                self.jobs.put(message)
        leave()  # the parent is gone: nobody waits for results


_WRITING = threading.Lock()


def writer(events: TextIO, trial: str) -> Callable[[Event], None]:
    def emit(event: Event) -> None:
        try:
            with _WRITING:  # of trials that are threads
                events.write(json.dumps({"trial": trial, **event}) + "\n")
        except BrokenPipeError:
            leave()  # the parent is gone, which is no failure of the trial

    return emit
