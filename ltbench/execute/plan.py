"""The plan of a run: which trials, in which order, what is left to do and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench import store
from ltbench.data.dataset import Splits
from ltbench.errors import InputError
from ltbench.execute.estimate import Estimate, estimate_trial
from ltbench.execute.job import Job, Settings, build_trial, trial_folder
from ltbench.method import Method
from ltbench.names import Call, Row
from ltbench.protocol import Protocol
from ltbench.registry import Registries
from ltbench.rows import ResolvedRow, check_row, resolve_row, shared_row
from ltbench.shift.trainset import planned_counts
from ltbench.task import build_task
from ltbench.train.schedule import warnings as schedule_warnings
from ltbench.trial import Trial


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, the rows evaluated on it, and how it stands.

    state: ``finished`` (training and rows may still lack evaluations), ``interrupted``, ``failed``,
    ``new`` or ``unknown`` (the images are not here yet).
    """

    trial: Trial
    rows: tuple[ResolvedRow, ...]
    state: str
    estimate: Estimate
    job: Job
    folder: Path


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
    jobs: int = 1,
) -> Plan:
    """Resolves and checks everything before any work.

    Every trial also gets a ``none`` row and, where the method's bias is known, an ``oracle`` row:
    gain and regret need them. Raises :class:`InputError` with one line for whatever is wrong.
    """
    counts, sizes = _counts(protocol, splits)
    notes = schedule_warnings(protocol.recipe)
    resolved: list[ResolvedRow] = []
    for row in rows:
        for wanted in _with_references(row, protocol, registries, counts):
            if wanted not in resolved:
                resolved.append(wanted)
    groups = _group_by_training(resolved, protocol, registries, counts, notes)
    trials = []
    for seed in seeds:
        for training, hyper, members in groups:
            method = registries.methods.get(training)
            trial = build_trial(protocol, method, hyper, seed, settings.precision, splits)
            folder = trial_folder(settings, trial)
            architecture = method.cls(counts, hyper).architecture()
            state = _state(folder) if splits else "unknown"
            job = Job(
                trial=trial.hash,
                protocol=protocol,
                training=training,
                hyper=hyper.to_json(),
                seed=seed,
                rows=tuple(row.to_json() for row in members),
                settings=settings,
                training_facts=trial.training_facts(method.origin),
                data_facts=trial.data_facts(),
            )
            estimate = estimate_trial(trial, architecture, members, sizes, state, folder, settings)
            trials.append(PlannedTrial(trial, tuple(members), state, estimate, job, folder))
    return Plan(protocol, trials, min(jobs, len(trials)), notes)


def _counts(protocol: Protocol, splits: Splits | None) -> tuple[torch.Tensor, tuple[int, int]]:
    """Training images per class, and the numbers of training and test images."""
    classes = protocol.data.classes
    if splits is not None:
        task = build_task(protocol, splits)
        return torch.from_numpy(task.train.counts), (len(task.train.indices), len(splits.test))
    n_max, test_max = protocol.train.max_count, protocol.test.max_count
    if n_max is None or test_max is None:
        raise InputError(
            f"the images of {protocol.name} are not here yet, so there is no plan to show; "
            f"`ltbench data prepare {protocol.name}` gets them"
        )
    counts = planned_counts(protocol.train, np.full(classes, n_max, dtype=np.int64))
    return torch.from_numpy(counts), (int(counts.sum()), test_max * classes)


def _with_references(
    row: Row, protocol: Protocol, registries: Registries, counts: torch.Tensor
) -> list[ResolvedRow]:
    """The row asked for, and those it is compared with."""
    asked = resolve_row(row, protocol, registries)
    method = _build(asked, counts)
    check_row(asked, method)
    rows = [asked, resolve_row(replace(row, strategy=Call("none")), protocol, registries)]
    if method.bias() is not None:
        rows.append(resolve_row(replace(row, strategy=Call("oracle")), protocol, registries))
    return rows


def _build(row: ResolvedRow, counts: torch.Tensor) -> Method[Any]:
    try:
        return row.build_method(counts)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"method {row.method.name!r} ({row.method.origin}) cannot be built: "
            f"{type(error).__name__}: {error}"
        ) from error


def _group_by_training(
    rows: list[ResolvedRow],
    protocol: Protocol,
    registries: Registries,
    counts: torch.Tensor,
    notes: list[str],
) -> list[tuple[str, Any, list[ResolvedRow]]]:
    """Rows by the training they stand on; rows that give the same result are kept once."""
    groups: list[tuple[str, Any, list[ResolvedRow]]] = []
    for row in rows:
        method = _build(row, counts)
        shared = shared_row(row, method, protocol, registries)
        if shared.method.name != row.method.name:
            notes.append(f"{row.label} equals {shared.label} and is reported as that")
            row = shared
        name, values = method.training_identity()
        plugin = registries.methods.get(name)
        base = protocol.methods[name].hyper if name in protocol.methods else {}
        hyper = plugin.cls.hyper_type.from_mapping({**base, **values}, name)
        for known_name, known_hyper, members in groups:
            if known_name == name and known_hyper.training_part() == hyper.training_part():
                if row not in members:
                    members.append(row)
                break
        else:
            groups.append((name, hyper, [row]))
    return groups


def _state(folder: Path) -> str:
    if store.finished_trial(folder) is not None:
        return "finished"
    if (folder / store.FAILED).exists():
        return "failed"
    if (folder / store.CHECKPOINT).exists() or (folder / store.STARTS).exists():
        return "interrupted"
    return "new"
