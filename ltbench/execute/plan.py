"""The plan of a run: which trials, in which order, what is left to do and how long it may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench.data.dataset import Splits
from ltbench.errors import InputError, describe
from ltbench.evaluate.stored import evaluation_path, is_complete, sets_for
from ltbench.evaluate.stream import check_streamable, is_streamed, stream_path
from ltbench.execute.estimate import Estimate, estimate_trial
from ltbench.execute.job import Job, Settings, build_trial, trial_folder
from ltbench.hyper import Hyper
from ltbench.method import Method
from ltbench.names import Call, Row, format_call
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Plugin, Registries
from ltbench.resolve.rows import ResolvedRow, check_row, departures, resolve_row, shared_row
from ltbench.shift.arrival import parse_arrival
from ltbench.shift.trainset import planned_counts
from ltbench.task import Task, build_task, missing_sets
from ltbench.train.schedule import warnings as schedule_warnings
from ltbench.trial import store
from ltbench.trial.trial import Trial


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, the rows evaluated on it, and how it stands.

    state: ``finished`` (the training; rows may still lack evaluations), ``interrupted``, ``failed``,
    ``new`` or ``unknown`` (the images are not here yet). complete: nothing is left to do.
    """

    trial: Trial
    training: str
    rows: tuple[ResolvedRow, ...]
    state: str
    estimate: Estimate
    job: Job
    folder: Path
    complete: bool = False

    @property
    def label(self) -> str:
        return f"{self.training} seed {self.trial.seed}"


@dataclass
class _Training:
    """A training that is asked for: by method, hyper-parameters, and the rows that stand on it."""

    method: Plugin[Method[Any]]
    hyper: Hyper
    label: str
    rows: list[ResolvedRow]


@dataclass(frozen=True)
class Offer:
    """What the trials of a plan have to give: held-out training images, the network."""

    holdout: bool
    network: bool


@dataclass
class Plan:
    """Trials in the order in which they start: seed by seed."""

    protocol: Protocol
    trials: list[PlannedTrial]
    jobs: int = 1
    notes: list[str] = field(default_factory=list)


def make_plan(
    rows: Sequence[Row],
    protocol: Protocol,
    seeds: Sequence[int],
    registries: Registries,
    splits: Splits | None,
    settings: Settings,
    sharing: Callable[[int], tuple[int, int]],
) -> Plan:
    """Resolves and checks everything before any work.

    ``sharing`` says for a number of unfinished trials how many run side by side, with how many
    threads each.

    Every trial also gets a ``none`` row and, where the method's bias is known in closed form or can
    be fitted on a hold-out, an ``oracle`` row: gain and regret need them. Raises
    :class:`InputError` with one line for whatever is wrong.
    """
    task = build_task(protocol, splits) if splits is not None else None
    counts, sizes = _counts(protocol, task)
    notes = schedule_warnings(protocol.recipe)
    if task is not None:
        notes += missing_sets(task)
    holdout = protocol.train.holdout > 0 if task is None else len(task.train.holdout) > 0
    offer = Offer(holdout, network=settings.mode == "clean")
    resolved: list[ResolvedRow] = []
    for row in rows:
        if settings.arrivals:
            check_streamable(resolve_row(row, protocol, registries))
        for reference in _with_references(row, protocol, registries, counts, offer, notes):
            if reference not in resolved:
                resolved.append(reference)
    trainings = _group_by_training(resolved, protocol, registries, counts, notes)
    drafts = [
        _draft(wanted, seed, protocol, task, settings) for seed in seeds for wanted in trainings
    ]
    for draft in drafts:
        if not settings.train and draft.state != "finished":
            raise InputError(
                f"{draft.wanted.label} with seed {draft.trial.seed} is not trained yet "
                f"({_told_state(draft)}); `ltbench run` trains it"
            )
    jobs, threads = sharing(sum(not draft.complete for draft in drafts))
    settings = replace(settings, threads=threads)
    trials = [_planned(draft, counts, sizes, settings) for draft in drafts]
    return Plan(protocol, trials, min(jobs, len(trials)), notes)


@dataclass(frozen=True)
class _Draft:
    """A trial and how it stands, before it is known how many run side by side."""

    wanted: _Training
    trial: Trial
    folder: Path
    state: str
    pending: list[ResolvedRow]
    streamed: bool

    @property
    def complete(self) -> bool:
        return self.state == "finished" and not self.pending and self.streamed


def _draft(
    wanted: _Training, seed: int, protocol: Protocol, task: Task | None, settings: Settings
) -> _Draft:
    splits = task.splits if task else None
    trial = build_trial(protocol, wanted.method, wanted.hyper, seed, settings.precision, splits)
    folder = trial_folder(settings, trial)
    pending = [
        row
        for row in wanted.rows
        if task is None
        or not is_complete(
            evaluation_path(folder, trial, row, settings.mode), sets_for(row, task.test_sets)
        )
    ]
    streamed = all(
        task is not None
        and is_streamed(stream_path(folder, trial, row, settings.mode, arrival), task.test_sets)
        for arrival in map(parse_arrival, settings.arrivals)
        for row in wanted.rows
    )
    state = _state(folder) if task else "unknown"
    return _Draft(wanted, trial, folder, state, pending, streamed)


def _planned(
    draft: _Draft, counts: torch.Tensor, sizes: tuple[int, int], settings: Settings
) -> PlannedTrial:
    wanted, trial = draft.wanted, draft.trial
    with _asking(wanted.method):
        architecture = wanted.method.cls(counts, wanted.hyper).architecture()
    job = Job(
        trial=trial.hash,
        protocol=trial.protocol,
        training=wanted.method.name,
        hyper=wanted.hyper.to_json(),
        seed=trial.seed,
        rows=tuple(row.to_json() for row in wanted.rows),
        settings=settings,
        training_facts=trial.training_facts(wanted.method.origin),
        data_facts=trial.data_facts(),
    )
    state, folder = draft.state, draft.folder
    estimate = estimate_trial(trial, architecture, draft.pending, sizes, state, folder, settings)
    rows = tuple(wanted.rows)
    return PlannedTrial(trial, wanted.label, rows, state, estimate, job, folder, draft.complete)


def _counts(protocol: Protocol, task: Task | None) -> tuple[torch.Tensor, tuple[int, int]]:
    """Training images per class, and the numbers of training and test images."""
    classes = protocol.data.used_classes
    if task is not None:
        sizes = (len(task.train.indices), len(task.splits.test))
        return torch.from_numpy(task.train.counts), sizes
    n_max, test_max = protocol.train.max_count, protocol.test.max_count
    if n_max is None or test_max is None:
        raise InputError(
            f"the images of {protocol.name} are not here yet, so there is no plan to show; "
            f"`ltbench data prepare {protocol.name}` gets them"
        )
    counts = planned_counts(protocol.train, np.full(classes, n_max, dtype=np.int64))
    return torch.from_numpy(counts), (int(counts.sum()), test_max * classes)


def _with_references(
    row: Row,
    protocol: Protocol,
    registries: Registries,
    counts: torch.Tensor,
    offer: Offer,
    notes: list[str],
) -> list[ResolvedRow]:
    """The row asked for, and those it is compared with."""
    asked = resolve_row(row, protocol, registries)
    rows = [asked, resolve_row(replace(row, strategy=Call("none")), protocol, registries)]
    with _asking(asked.method):
        method = asked.build_method(counts)
        check_row(asked, method, holdout=offer.holdout, network=offer.network)
        closed = method.bias() is not None
    if closed or offer.holdout:
        rows.append(resolve_row(replace(row, strategy=Call("oracle")), protocol, registries))
    elif "bias" in asked.needs:
        notes.append(
            f"{asked.label} stands on an unreliable guess of the prior in the logits; with "
            "`--set train.holdout=0.1` it is fitted on held-out training images"
        )
    return rows


@contextmanager
def _asking(method: Plugin[Method[Any]]) -> Iterator[None]:
    """Whatever a plugin raises while the plan is made becomes one line that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        line = f"method {method.name!r} ({method.origin}) cannot be used: {describe(error)}"
        raise InputError(line) from error


def _group_by_training(
    rows: list[ResolvedRow],
    protocol: Protocol,
    registries: Registries,
    counts: torch.Tensor,
    notes: list[str],
) -> list[_Training]:
    """Rows by the training they stand on; rows that give the same result are kept once."""
    trainings: list[_Training] = []
    for row in rows:
        with _asking(row.method):
            method = row.build_method(counts)
            shared = shared_row(row, method, protocol, registries)
            name, values = method.training_identity()
        if shared.method.name != row.method.name:
            notes.append(f"{row.label} equals {shared.label} and is reported as that")
            row = shared
        plugin = registries.methods.get(name)
        base = protocol.methods[name].hyper if name in protocol.methods else {}
        usual = plugin.cls.hyper_type.from_mapping(base, name)
        hyper = plugin.cls.hyper_type.from_mapping({**base, **values}, name)
        for known in trainings:
            if (known.method.name, known.hyper.training_part()) == (name, hyper.training_part()):
                if row not in known.rows:
                    known.rows.append(row)
                break
        else:
            label = format_call(name, departures(hyper, usual))
            trainings.append(_Training(plugin, hyper, label, [row]))
    return trainings


def _told_state(draft: _Draft) -> str:
    if (draft.folder / store.LOGITS).exists() and not (draft.folder / store.TRIAL).exists():
        return f"{draft.folder / store.TRIAL} is missing, so its logits count for nothing"
    return draft.state


def _state(folder: Path) -> str:
    if store.finished_trial(folder) is not None:
        return "finished"
    if (folder / store.FAILED).exists():
        return "failed"
    if (folder / store.CHECKPOINT).exists() or (folder / store.STARTS).exists():
        return "interrupted"
    return "new"
