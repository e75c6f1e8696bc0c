"""Scores imported outputs: one trial folder, one record per strategy, as for any trained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from ltbench.contract.gate import refuse_unsound
from ltbench.errors import InputError
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.sources import bias_block
from ltbench.evaluate.stored import (
    evaluation_hash,
    evaluation_path,
    has_arrays,
    is_complete,
    known_distributions,
    left_out_facts,
)
from ltbench.execute.class_arrays import class_counts
from ltbench.execute.context import now, save_tensors
from ltbench.files import write_json
from ltbench.imported.in_memory import Source
from ltbench.imported.known import check_known, known_title, rename
from ltbench.imported.notes import class_order_told, second_looks
from ltbench.imported.outputs import ModelOutputs, read_outputs
from ltbench.imported.stand_in import ORIGIN, checked_title, label, resolve_rows, stand_in
from ltbench.imported.task import ImportedTrial, build_trial, free_task, protocol_task
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.task import Task, missing_sets
from ltbench.trial import store
from ltbench.trial.asked_code import note_asked
from ltbench.trial.class_arrays import arrays_path, write_arrays
from ltbench.trial.environment import environment
from ltbench.trial.light import write_record
from ltbench.trial.trial import SCHEMA
from ltbench.version import __version__

MODE = "clean"


@dataclass(frozen=True)
class ImportRequest:
    """Which files or arrays, under which name, scored how. protocol None: the protocol ``imported``."""

    logits: Source
    labels: Source
    name: str
    counts: Source | None = None
    bias: Source | None = None
    strategies: str | None = None
    protocol: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    title: str | None = None
    """What tables call the model; None: that of an earlier import, else its name."""
    results: Path = Path("results")
    data_dir: Path | None = None
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """Where the records lie, and the uniform top-1 of each row in per cent."""

    folder: Path
    uniform: dict[str, float]
    notes: tuple[str, ...] = ()
    """What deserves a second look, a line each."""


def score_outputs(
    request: ImportRequest, on_row: Callable[[str, float], None] = lambda label, top1: None
) -> Imported:
    """Reads, checks, scores and writes; what is there already is not computed again.

    Raises :class:`InputError` with one line for whatever is wrong, before anything is written.
    """
    if not 0 <= request.seed < 2**63:
        raise InputError(f"--seed {request.seed} must be at least 0 and below 2^63")
    title = checked_title(request.title)
    outputs = read_outputs(request.logits, request.labels, request.counts, request.bias)
    registries = load_registries(request.plugins)
    task = _task(request, outputs)
    trial = build_trial(request.name, request.seed, outputs, task)
    title = title or known_title(request.results, trial) or request.name
    plugin = stand_in(request.name, outputs, registries, title)
    counts = torch.from_numpy(task.train.counts)
    rows = resolve_rows(request.strategies, plugin, counts, task.protocol, registries)
    refuse_unsound(rows, registries)
    check_known(request.results, trial, outputs, task)
    folder = trial.folder(request.results)
    uniform: dict[str, float] = {}
    try:
        with store.claim(folder):
            store.sweep_temporaries(folder)
            if store.finished_trial(folder) is None:
                _write_trial(folder, trial, outputs, task)
            rename(request.results, trial, title)
            scored = TrialOutputs(
                trial=trial,
                task=task,
                logits=outputs.logits,
                shifted_logits=outputs.logits,
                labels=outputs.labels,
                views=_no_views,
            )
            note_asked(request.results, {row.codes()[1] for row in rows})
            for row in rows:
                uniform[label(row)] = _row(folder, row, scored)
                on_row(label(row), uniform[label(row)])
    except store.BusyError:
        raise InputError(f"{folder} is in use by another process; try again later") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"results folder {request.results} is not writable: {reason}") from None
    found = {row.strategy.name: evaluation_path(folder, trial, row, MODE) for row in rows}
    notes = (*missing_sets(task), *class_order_told(task), *second_looks(outputs, found))
    return Imported(folder, uniform, notes)


def _task(request: ImportRequest, outputs: ModelOutputs) -> Task:
    if request.protocol is None:
        return free_task(outputs, request.overrides)
    return protocol_task(
        request.protocol, request.overrides, request.plugins, request.data_dir, outputs
    )


def _no_views(k: int) -> NoReturn:
    raise InputError("imported logits come without augmented views")


def _write_trial(folder: Path, trial: ImportedTrial, outputs: ModelOutputs, task: Task) -> None:
    tensors: dict[str, Tensor] = {"logits": outputs.logits, "labels": outputs.labels}
    if outputs.bias is not None:
        tensors["bias"] = outputs.bias
    save_tensors(folder / store.LOGITS, tensors)
    record = {
        "schema": SCHEMA,
        "status": "finished",
        "trial": trial.hash,
        "protocol": trial.protocol.facts(),
        "training": trial.training_facts(ORIGIN),
        "imported": {
            "arrays": dict(trial.arrays),
            **({} if outputs.floor is None else {"log_of_zero": outputs.floor}),
            "adaptation_optimizer": {
                key: getattr(trial.recipe, key)
                for key in ("lr", "momentum", "nesterov", "weight_decay")
            },
        },
        "seed": trial.seed,
        "identity": trial.identity(),
        "data": {
            **trial.data_facts(),
            "train_counts": task.train.counts.tolist(),
            "class_names": list(task.splits.test.class_names),
            "rank": task.rank.tolist(),
            "groups": task.groups,
        },
        "recipe": {},
        "precision": trial.precision,
        "model": _model(outputs.logits),
        # Where it was trained is not known; where it was scored is no property of the model.
        "environment": {"ltbench": __version__},
        "scored_on": environment(torch.device("cpu")),
        "created": now(),
    }
    write_json(folder / store.TRIAL, record)


def _model(logits: Tensor) -> dict[str, Any]:
    return {"backbone": None, "experts": logits.shape[1], "parameters": None}


def _row(folder: Path, row: ResolvedRow, outputs: TrialOutputs) -> float:
    """Top-1 on the uniform set, per cent, after writing what was missing."""
    task, trial = outputs.task, outputs.trial
    path = evaluation_path(folder, trial, row, MODE)
    complete = is_complete(path, task.test_sets, task.left_out)
    if complete and has_arrays(path, task.test_sets):
        return _uniform(known_distributions(path))
    began = time.monotonic()
    by_class = class_counts(path, outputs)
    distributions = evaluate_row(outputs, row, known_distributions(path), by_class=by_class)
    write_arrays(arrays_path(path), by_class.result())
    if complete:  # the record is of before there were array files, and stays as it is
        return _uniform(distributions)
    evaluation = {
        "schema": SCHEMA,
        "evaluation": evaluation_hash(trial, row, MODE),
        "trial": trial.hash,
        "protocol": task.protocol.facts(),
        "seed": trial.seed,
        "imported": True,
        "method": row.method.name,
        "method_version": row.method.cls.version,
        "strategy_version": row.strategy.cls.version,
        **row.code_facts(),
        "method_params": "",
        "strategy": row.strategy.name,
        "strategy_params": row.strategy_params,
        "label": label(row),
        "title": row.method.cls.title,
        "uses_true_prior": row.uses_true_prior,
        "first_draw_only": row.first_draw_only,
        "bias": bias_block(row, outputs),
        "mode": MODE,
        "data": {
            "train_fingerprint": trial.train_fingerprint,
            "test_fingerprint": trial.test_fingerprint,
        },
        "recipe": {},
        "precision": trial.precision,
        "model": _model(outputs.logits),
        "train_counts": task.train.counts.tolist(),
        "rank": task.rank.tolist(),
        "class_names": list(task.splits.test.class_names),
        "groups": task.groups,
        **left_out_facts(path, task.left_out),
        "seconds": round(time.monotonic() - began, 3),
        "created": now(),
        "distributions": distributions,
    }
    write_record(path, evaluation)
    return _uniform(distributions)


def _uniform(distributions: Mapping[str, Any]) -> float:
    return float(distributions["uniform"]["draws"]["0"]["top1"])
