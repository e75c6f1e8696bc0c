"""Trackers by name, and the listener that feeds them from the driver's events."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.errors import InputError, describe
from ltbench.execute.engine import FINAL, Event
from ltbench.execute.entry import load_entry
from ltbench.execute.tracker import Kinds, Tracker, TrackerKind
from ltbench.installed import entry_points

if TYPE_CHECKING:
    from ltbench.execute.plan import PlannedTrial

GROUP = "ltbench.trackers"
"""Entry points of other packages."""

_OWN = {
    "mlflow": ("ltbench.execute.trackers.mlflow", "MLflow"),
    "tensorboard": ("ltbench.execute.trackers.tensorboard", "TensorBoard"),
    "wandb": ("ltbench.execute.trackers.wandb", "Wandb"),
}
"""Module and class; each needs the package of its name, which an extra of that name installs."""

Listener = Callable[["PlannedTrial", dict[str, Any]], None]


def choose_trackers(names: Iterable[str]) -> Kinds:
    """Raises :class:`InputError`, one line, for an unknown name and one that is not installed."""
    return {name: _kind(name) for name in names}


def _kind(name: str) -> TrackerKind:
    if name in _OWN:
        if find_spec(name) is None:
            raise InputError(
                f"tracker {name!r} needs {name}, which is not installed; "
                f"pip install 'ltbench[{name}]' installs it"
            )
        module, kind = _OWN[name]
        found: TrackerKind = getattr(importlib.import_module(module), kind)
        return found
    entries: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    found = load_entry("tracker", name, entries, _OWN)
    if not callable(found):
        raise InputError(f"tracker {name!r} ({entries[name].value}) cannot be called")
    return found


@contextmanager
def tracked(listen: Listener, kinds: Kinds, results: Path) -> Iterator[Listener]:
    """``listen`` and, after it, a tracker of each kind. One that fails is told to ``listen``, as an
    event ``tracker`` with a line, and left alone from then on; trials go on."""
    trackers = [_Told(name, kind, results, listen) for name, kind in kinds.items()]
    last: list[PlannedTrial] = []

    def tell(planned: PlannedTrial, event: dict[str, Any]) -> None:
        listen(planned, event)
        last[:] = [planned]
        for tracker in trackers:
            tracker.tell(planned, event)

    try:
        yield tell
    finally:
        for tracker in trackers:
            tracker.close(last)


class _Told:
    """One tracker, made when there is something to tell; None: not yet, or it failed."""

    def __init__(self, name: str, kind: TrackerKind, results: Path, listen: Listener) -> None:
        self.name, self.kind, self.results, self.listen = name, kind, results, listen
        self.tracker: Tracker | None = None
        self.failed = False
        self.epochs: dict[str, int] = {}  # of the trials that run, how far they are

    def tell(self, planned: PlannedTrial, event: Event) -> None:
        if self.failed:
            return
        try:
            self._tell(planned, event)
        except Exception as error:  # whatever foreign code raises
            self._give_up(planned, error)

    def close(self, last: list[PlannedTrial]) -> None:
        if self.tracker is None:
            return
        try:
            self.tracker.close()
        except Exception as error:
            if not self.failed:
                self._give_up(last[0], error)

    def _give_up(self, planned: PlannedTrial, error: Exception) -> None:
        self.failed = True
        line = f"tracker {self.name!r} failed, trials go on without it: {describe(error)}"
        self.listen(planned, {"event": "tracker", "error": line})

    def _tell(self, planned: PlannedTrial, event: Event) -> None:
        trial, kind = planned.trial.hash, event["event"]
        if kind == "started":
            if self.tracker is None:
                self.tracker = self.kind(self.results)
            self.epochs[trial] = 0
            self.tracker.begin(trial, _facts(planned))
        if self.tracker is None or trial not in self.epochs:
            return  # nothing was left to do
        if kind == "epoch":
            self.epochs[trial] = event["epoch"]
            self.tracker.value(trial, "loss", event["loss"], event["epoch"])
        elif kind == "stage":
            part = event["done"] / max(1, event["total"])
            self.tracker.value(trial, f"stage/{event['stage']}", part, event["done"])
        elif kind == "row":
            step = self.epochs[trial]
            self.tracker.value(trial, f"uniform/{event['label']}", event["uniform"], step)
        elif kind in FINAL:
            del self.epochs[trial]
            self.tracker.end(trial, kind)


def _facts(planned: PlannedTrial) -> dict[str, Any]:
    protocol = planned.trial.protocol
    return {
        "label": planned.label,
        "protocol": f"{protocol.name} {protocol.version}",
        "method": planned.training,
        "seed": planned.trial.seed,
        "trial": planned.trial.hash,
    }
