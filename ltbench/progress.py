"""How far a long computation is, told to whoever listens; nobody listening costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Report = Callable[[str, int, int], None]
"""Stage, how much is done, of how much."""

EVERY = 1.0
"""Seconds between two reports: what is over sooner is not told of."""


def duration(seconds: float) -> str:
    """``75`` to ``"1 min 15 s"``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"


class _Listener:
    def __init__(self, report: Report) -> None:
        self._report, self._last = report, time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            self._report(stage, done, total)


_listener: ContextVar[_Listener | None] = ContextVar("_listener", default=None)


@contextmanager
def reported(report: Report) -> Iterator[None]:
    """What :func:`tell` says inside goes to ``report``, at most every :data:`EVERY` seconds.

    Whatever ``report`` raises ends the computation.
    """
    token = _listener.set(_Listener(report))
    try:
        yield
    finally:
        _listener.reset(token)


def tell(stage: str, done: int, total: int) -> None:
    """``done`` of ``total`` of ``stage``: for a strategy's own loops, as often as it likes."""
    listener = _listener.get()
    if listener is not None:
        listener(stage, done, total)
