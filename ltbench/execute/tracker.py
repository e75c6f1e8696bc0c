"""Whom a run may tell how its trials go, beside the terminal. Nothing that is told decides a result.

A third party offers a tracker by an entry point of the group ``ltbench.trackers``, whose name is what
``--track`` takes and whose value is a :data:`TrackerKind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

Facts = Mapping[str, Any]
"""Of a trial: ``label``, ``protocol`` (with its version), ``method``, ``seed``, ``trial`` (the hash)."""


class Tracker(Protocol):
    """All methods are called from the driver's process and one thread; whatever they raise is told in
    one line, and the tracker is told nothing more. ``trial`` is the hash."""

    def begin(self, trial: str, facts: Facts) -> None:
        """A trial has started, or started again where it was cut off."""

    def value(self, trial: str, name: str, value: float, step: int) -> None:
        """A number of a trial that has begun. name: ``loss``, ``stage/NAME`` (the part that is done,
        0 to 1), ``uniform/ROW`` (top-1 accuracy in percent); step: the epoch, or images of a stage."""

    def end(self, trial: str, status: str) -> None:
        """status: the kind of a final event, such as ``done`` or ``failed``."""

    def close(self) -> None:
        """The run is over."""


TrackerKind = Callable[[Path], Tracker]
"""Makes a tracker for a results folder; called when the first trial starts."""

Kinds = Mapping[str, TrackerKind]
"""Those that were asked for, by name."""
