"""Procedures timed in turn within one process, so that what disturbs one disturbs the others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Procedure = Callable[[], int]
"""Does a piece of work and returns how many items it was."""


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def scaled(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.low * factor, self.high * factor)


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rates(procedures: Mapping[str, Procedure], rounds: int) -> dict[str, list[float]]:
    """Items per second of every procedure in each of ``rounds`` rounds: A B C A B C ..."""
    found: dict[str, list[float]] = {name: [] for name in procedures}
    for _ in range(rounds):
        for name, procedure in procedures.items():
            began = time.perf_counter()
            items = procedure()
            found[name].append(items / (time.perf_counter() - began))
    return found


def ratio(ours: list[float], theirs: list[float]) -> Spread:
    """How many times faster, round by round: neighbours in time are compared."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
