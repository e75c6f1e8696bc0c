"""Trials that tell nothing for much longer than ever before: a notice, nobody is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FIRST = 600.0
"""Seconds of silence before the pace of a trial is known: it loads, and meets its first epoch."""
LEAST = 60.0
FACTOR = 10.0


@dataclass
class _Heard:
    """last: event of any kind; epoch: the last one of an epoch, else the begin; longest: between these."""

    last: float
    epoch: float
    longest: float = 0.0
    told: float = 0.0


class Silence:
    """Who was silent for more than ``factor`` times its longest epoch so far, at least ``least`` seconds;
    before its first epoch for more than ``first`` seconds."""

    def __init__(
        self,
        first: float = FIRST,
        least: float = LEAST,
        factor: float = FACTOR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.first, self.least, self.factor, self._clock = first, least, factor, clock
        self._heard: dict[str, _Heard] = {}

    def begin(self, trial: str) -> None:
        now = self._clock()
        self._heard[trial] = _Heard(now, now)

    def hear(self, trial: str, kind: str) -> None:
        """Of an event of the trial; ``started`` begins anew."""
        heard, now = self._heard.get(trial), self._clock()
        if heard is None or kind == "started":
            self.begin(trial)
            return
        if kind == "epoch":
            heard.longest = max(heard.longest, now - heard.epoch)
            heard.epoch = now
        heard.last, heard.told = now, 0.0

    def forget(self, trial: str) -> None:
        self._heard.pop(trial, None)

    def overdue(self) -> Iterator[tuple[str, float]]:
        """(trial, seconds since its last event); again only when the silence is twice as long."""
        now = self._clock()
        for trial, heard in self._heard.items():
            silent = now - heard.last
            limit = max(self.least, self.factor * heard.longest) if heard.longest else self.first
            if silent > max(limit, 2 * heard.told):
                heard.told = silent
                yield trial, silent
