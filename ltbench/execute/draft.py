"""Trials that a plan may come to, and how they stand before it is known how many run side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import InputError, describe
from ltbench.evaluate.stored import evaluation_path, is_complete, sets_for
from ltbench.evaluate.stream import is_streamed, stream_path
from ltbench.execute.class_arrays import can_add_arrays
from ltbench.execute.job import Settings, build_trial, trial_folder
from ltbench.hyper import Hyper
from ltbench.method import Method
from ltbench.names import format_call
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Plugin, Registries
from ltbench.resolve.methods import departures
from ltbench.resolve.rows import ResolvedRow
from ltbench.shift.arrival import parse_arrival
from ltbench.task import Task
from ltbench.trial import store
from ltbench.trial.trial import Trial


@dataclass
class Training:
    """A training that is asked for: by method, hyper-parameters, and the rows that stand on it."""

    method: Plugin[Method[Any]]
    hyper: Hyper
    label: str
    rows: list[ResolvedRow]

    def same_as(self, other: Training) -> bool:
        mine = (self.method.name, self.hyper.training_part())
        return mine == (other.method.name, other.hyper.training_part())


@dataclass(frozen=True)
class Draft:
    """A trial and how it stands, before it is known how many run side by side."""

    wanted: Training
    trial: Trial
    folder: Path
    state: str
    pending: list[ResolvedRow]
    streamed: bool
    members: tuple[Draft, ...] = ()
    """Of an ensemble: the trainings it stands on, in the order of its experts."""

    @property
    def label(self) -> str:
        return f"{self.wanted.label} seed {self.trial.seed}"

    @property
    def complete(self) -> bool:
        done = self.state == "finished" and not self.pending and self.streamed
        return done and all(member.state == "finished" for member in self.members)


def draft_trial(
    wanted: Training, seed: int, protocol: Protocol, task: Task | None, settings: Settings
) -> Draft:
    splits = task.splits if task else None
    trial = build_trial(protocol, wanted.method, wanted.hyper, seed, settings.precision, splits)
    folder = trial_folder(settings, trial)
    state = state_of(folder) if task else "unknown"
    return Draft(wanted, trial, folder, state, *left_to_do(wanted, trial, task, settings))


def left_to_do(
    wanted: Training, trial: Trial, task: Task | None, settings: Settings
) -> tuple[list[ResolvedRow], bool]:
    """The rows that lack an evaluation, and whether every stream that was asked for is there."""
    folder = trial_folder(settings, trial)
    pending = [
        row
        for row in wanted.rows
        if task is None
        or not is_complete(
            evaluation_path(folder, trial, row, settings.mode),
            sets_for(row, task.test_sets),
            task.left_out,
        )
        or can_add_arrays(folder, trial, row, task, settings)
    ]
    streamed = all(
        task is not None
        and is_streamed(stream_path(folder, trial, row, settings.mode, arrival), task.test_sets)
        for arrival in map(parse_arrival, settings.arrivals)
        for row in wanted.rows
    )
    return pending, streamed


def training_of(method: Method[Any], protocol: Protocol, registries: Registries) -> Training:
    """The training on which ``method`` is evaluated, without rows."""
    name, values = method.training_identity()
    plugin = registries.methods.get(name)
    base = protocol.methods[name].hyper if name in protocol.methods else {}
    usual = plugin.cls.hyper_type.from_mapping(base, name)
    hyper = plugin.cls.hyper_type.from_mapping({**base, **values}, name)
    return Training(plugin, hyper, format_call(name, departures(hyper, usual)), [])


@contextmanager
def asking(method: Plugin[Method[Any]]) -> Iterator[None]:
    """Whatever a plugin raises while the plan is made becomes one line that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        line = f"method {method.name!r} ({method.origin}) cannot be used: {describe(error)}"
        raise InputError(line) from error


def told_state(draft: Draft) -> str:
    if (draft.folder / store.LOGITS).exists() and not (draft.folder / store.TRIAL).exists():
        return f"{draft.folder / store.TRIAL} is missing, so its logits count for nothing"
    return draft.state


def state_of(folder: Path) -> str:
    if store.finished_trial(folder) is not None:
        return "finished"
    if (folder / store.FAILED).exists():
        return "failed"
    if (folder / store.CHECKPOINT).exists() or (folder / store.STARTS).exists():
        return "interrupted"
    return "new"
