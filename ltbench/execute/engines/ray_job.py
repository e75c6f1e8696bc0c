"""What runs on Ray's nodes: one trial as a task, and the mailbox between it and the driver."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ltbench.execute.engine import FINAL, Event, Message
from ltbench.execute.engines.carried import Files, Luggage, read, unpacked
from ltbench.execute.event_rate import bounded
from ltbench.version import __version__

_SECONDS = 0.3  # between two letters of a job, each of which waits for its reply

Key = tuple[str, int]
"""A trial and how often it was submitted: letters of a process that died since may still come."""


class Mailbox:
    """An actor beside the driver; only texts of JSON pass through it."""

    def __init__(self) -> None:
        self._mail: list[tuple[Key, str]] = []
        self._started: set[Key] = set()
        self._stopping = False

    def put(self, key: Key, events: list[str]) -> bool:
        """Takes what a job tells; the reply is whether it is to stop. The first letter has no events."""
        if not self._stopping:
            self._started.add(key)
        self._mail += [(key, event) for event in events]
        return self._stopping

    def drain(self) -> list[tuple[Key, str]]:
        mail, self._mail = self._mail, []
        return mail

    def stop(self) -> list[Key]:
        """From now on no job starts. Returns those that ever did."""
        self._stopping = True
        return list(self._started)


class Post:
    """A job's side of the mailbox: a letter at a time, in a thread of its own.

    That thread matters: a task that waits in its main thread lends its processors to other tasks.
    """

    def __init__(self, put: Callable[[list[str]], bool]) -> None:
        self.stop = threading.Event()
        self._put = put
        self._events: list[str] = []
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._answered.wait()

    def say(self, event: Event) -> None:
        with self._lock:
            self._events.append(json.dumps(event))

    def close(self) -> None:
        """Returns when everything has arrived."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            while True:
                ended = self._ended.is_set()
                with self._lock:
                    events, self._events = self._events, []
                if self._put(events) and not self.stop.is_set():
                    self.stop.set()
                    self.say({"event": "stopping"})
                self._answered.set()
                if ended:
                    return
                self._ended.wait(_SECONDS)
        except (
            Exception
        ):  # the driver, or its node, is gone: nobody waits for more than a checkpoint
            self.stop.set()
        finally:
            self._answered.set()


def run_trial(
    text: str, mailbox: Any, key: Key, luggage: tuple[Files, dict[str, Files]] | None
) -> tuple[str, Files]:
    """The task. text: the message as JSON; luggage: a :class:`Luggage` where no folder is shared.

    Returns the final event as JSON and, with luggage, all files of the trial's folder; none where it
    was not started. Raises nothing of a trial: only a process that dies is lost.
    """
    ray: Any = importlib.import_module("ray")  # untyped where it is not installed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the driver asks for checkpoints
    post = Post(lambda events: bool(ray.get(mailbox.put.remote(key, events))))
    try:
        message: dict[str, Any] = json.loads(text)
        if post.stop.is_set():
            return json.dumps({"event": "interrupted"}), {}
        if luggage is None:
            return json.dumps(_run(message, post)), {}
        with unpacked(message, Luggage(*luggage)) as here:
            last = _run(here, post)
            return json.dumps(last), read(Path(here["folder"]))
    finally:
        post.close()


def _run(message: Message, post: Post) -> Event:
    """Runs it; returns its final event and tells all others."""
    from ltbench.execute.worker import run_message

    found = code_here()
    if found != message["code"]:
        error = f"{socket.gethostname()} has {found}, this run has {message['code']}; all nodes need one"
        return {"event": "failed", "status": "failed", "error": error}
    finals: list[Event] = []

    def emit(event: Event) -> None:
        if event["event"] in FINAL:
            finals.append(event)
            return
        if event["event"] == "started":
            event = {**event, "host": socket.gethostname(), "pid": os.getpid()}
        post.say(event)

    run_message(message, bounded(emit), post.stop)
    return finals[-1]


@cache
def code_here() -> str:
    """This ltbench in words: its version, and a digest of its code but methods, whose own digests
    enter the hashes of trials."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(
            ("methods/", "protocols/")
        ):  # links in a checkout, folders elsewhere
            digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"ltbench {__version__} (code {digest.hexdigest()[:8]})"
