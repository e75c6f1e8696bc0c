"""A process that trains several trials of one GPU at once, each in a thread with a CUDA stream of its own.

Kernels of small networks fill a part of a GPU; those of several streams of one process run side by side.
A trial trains here, up to its stored logits, to the bits that it has alone: its random numbers come from
generators of its own, its streams are its own, and where a library has one setting for the whole process
(:func:`ltbench.train.arithmetic.tf32`, the global generator) trials take turns. Its rows are evaluated in
a process of its own, where code may do what it likes.

Jobs come as to :mod:`ltbench.execute.worker`; there is a thread for each that is under way.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from ltbench.execute.engine import FINAL, Event
from ltbench.execute.leftovers import leave
from ltbench.execute.pipes import Commands, writer
from ltbench.execute.worker import load, run_message


def main() -> None:
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a plugin prints must not get between the events
    commands = Commands()
    threads: list[_Trainer] = []
    try:
        load()
        while True:
            message = commands.jobs.get()
            if message.get("command") == "quit":
                for thread in threads:
                    thread.jobs.put(None)
                for thread in threads:
                    thread.join()
                leave()
            idle = next((thread for thread in threads if not thread.busy), None)
            if idle is None:
                idle = _Trainer(events, commands.stop)
                threads.append(idle)
                idle.start()
            idle.take(message)
    except BaseException:
        traceback.print_exc()
        leave(1)


class _Trainer(threading.Thread):
    """Trains one trial after the other. It stays for all of them: with it stay its streams, of which a
    device has only so many."""

    def __init__(self, events: TextIO, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.events, self.stop = events, stop
        self.jobs: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        self.busy = False
        self._streams: dict[str, Any] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        self.busy = True
        self.jobs.put(message)

    def run(self) -> None:
        try:
            while (message := self.jobs.get()) is not None:
                emit = writer(self.events, str(message["trial"]))
                with self._own_stream(str(message["settings"]["device"])):
                    run_message(
                        message, self._free_before_the_last(emit), self.stop, evaluates=False
                    )
        except BaseException:
            traceback.print_exc()
            leave(1)

    def _free_before_the_last(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        """Whoever hears that a trial ended may send the next one at once."""

        def tell(event: Event) -> None:
            if event["event"] in FINAL:
                self.busy = False
            emit(event)

        return tell

    @contextmanager
    def _own_stream(self, word: str) -> Iterator[None]:
        import torch

        from ltbench.errors import InputError
        from ltbench.trial.environment import resolve_device

        try:
            device = resolve_device(word)
        except InputError:  # told by the trial
            yield
            return
        if device.type != "cuda":
            yield
            return
        if word not in self._streams:
            self._streams[word] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._streams[word]):
            yield


if __name__ == "__main__":
    main()
