"""Scores imported outputs: one trial folder, one record per strategy, as for any trained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from ltbench.imported.class_names import read_classes
from ltbench.imported.class_order import in_order_of
from ltbench.imported.in_memory import Source
from ltbench.imported.known import check_known, known_title, rename
from ltbench.imported.notes import class_order_told, second_looks
from ltbench.imported.outputs import Extras, ModelOutputs, read_outputs, with_extras
from ltbench.imported.prediction_table import outputs_of, read_predictions
from ltbench.imported.stand_in import ORIGIN, checked_title, label, resolve_rows, stand_in
from ltbench.imported.task import (
    ImportedTrial,
    build_trial,
    check_classes,
    check_fits,
    free_task,
    protocol_task,
)
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.task import Task, missing_sets
from ltbench.trial import store
from ltbench.trial.asked_code import note_asked
from ltbench.trial.checked import write_checked
from ltbench.trial.class_arrays import arrays_path, write_arrays
from ltbench.trial.environment import environment
from ltbench.trial.light import write_record
from ltbench.trial.trial import SCHEMA
from ltbench.version import __version__

MODE = "clean"


@dataclass(frozen=True)
class ImportRequest:
    """Which files or arrays, under which name, scored how. protocol None: the protocol ``imported``.

    Either logits and labels or a table of predictions. classes: names, in the order of the logits.
    """

    name: str
    logits: Source | None = None
    labels: Source | None = None
    predictions: Path | None = None
    counts: Source | None = None
    bias: Source | None = None
    classes: Source | None = None
    holdout_logits: Source | None = None
    holdout_labels: Source | None = None
    view_logits: Source | None = None
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
    registries = load_registries(request.plugins)
    outputs, task, said = _prepare(request)
    trial = build_trial(request.name, request.seed, outputs, task)
    title = title or known_title(request.results, trial) or request.name
    plugin = stand_in(request.name, outputs, registries, title)
    counts = torch.from_numpy(task.train.counts)
    rows = resolve_rows(request.strategies, plugin, counts, task.protocol, registries, outputs)
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
            scored = trial_outputs(trial, outputs, task)
            note_asked(request.results, {row.codes()[1] for row in rows})
            for row in rows:
                uniform[label(row)] = score_row(folder, row, scored)
                on_row(label(row), uniform[label(row)])
    except store.BusyError:
        raise InputError(f"{folder} is in use by another process; try again later") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"results folder {request.results} is not writable: {reason}") from None
    found = {row.strategy.name: evaluation_path(folder, trial, row, MODE) for row in rows}
    notes = (*missing_sets(task), *said, *second_looks(outputs, found))
    return Imported(folder, uniform, notes)


def _prepare(request: ImportRequest) -> tuple[ModelOutputs, Task, tuple[str, ...]]:
    """The outputs in the class order of the task that they are scored under, and what to tell."""
    names = None if request.classes is None else read_classes(request.classes)
    extras = Extras(
        counts=request.counts,
        bias=request.bias,
        holdout_logits=request.holdout_logits,
        holdout_labels=request.holdout_labels,
        views=request.view_logits,
    )
    table, outputs = None, None
    if request.predictions is not None:
        if request.logits is not None or request.labels is not None:
            raise InputError(
                "--predictions has scores and labels; --logits and --labels go without"
            )
        table = read_predictions(request.predictions, names)
    elif request.logits is not None and request.labels is not None:
        outputs = read_outputs(request.logits, request.labels, names=names, extras=extras)
    else:
        missing = "--labels" if request.logits is not None else "--logits"
        raise InputError(
            f"{missing} is missing: logits and labels of the test images belong together"
        )
    task = None
    if request.protocol is not None:
        task = protocol_task(request.protocol, request.overrides, request.plugins, request.data_dir)
    if table is not None:
        outputs = with_extras(outputs_of(table, task), extras)
    assert outputs is not None  # read above, or refused
    if task is None:
        return outputs, free_task(outputs, request.overrides), ()
    check_classes(outputs, task)
    if outputs.names is None:
        return outputs, task, (*check_fits(outputs, task), *class_order_told(task))
    test = task.splits.test
    outputs, said = in_order_of(outputs, test.class_names, test.labels, task.protocol.name)
    return outputs, task, (*said, *check_fits(outputs, task))


def trial_outputs(trial: ImportedTrial, outputs: ModelOutputs, task: Task) -> TrialOutputs:
    """What rows are evaluated on: logits, and the hold-out and views that the model came with."""
    return TrialOutputs(
        trial=trial,
        task=task,
        logits=outputs.logits,
        shifted_logits=outputs.logits,
        labels=outputs.labels,
        views=_views(outputs),
        pairs=None if outputs.views is None else len(outputs.views) // 2,
        holdout=outputs.holdout,
    )


def _views(outputs: ModelOutputs) -> Callable[[int], Tensor]:
    """Pair k to ``(2, N, E, C)``."""

    def pair(k: int) -> Tensor:
        if outputs.views is None:
            raise InputError("imported logits come without augmented views")
        return outputs.views[2 * k : 2 * k + 2]

    return pair


def _write_trial(folder: Path, trial: ImportedTrial, outputs: ModelOutputs, task: Task) -> None:
    tensors: dict[str, Tensor] = {"logits": outputs.logits, "labels": outputs.labels}
    if outputs.bias is not None:
        tensors["bias"] = outputs.bias
    if outputs.holdout is not None:
        tensors["holdout"] = outputs.holdout.logits
        tensors["holdout_labels"] = outputs.holdout.labels
    if outputs.views is not None:
        tensors["views"] = outputs.views
    save_tensors(folder / store.LOGITS, tensors)
    write_checked(folder / store.TRIAL, trial_record(trial, outputs, task))


def trial_record(trial: ImportedTrial, outputs: ModelOutputs, task: Task) -> dict[str, Any]:
    """``trial.json`` of an import, or of an ensemble of imports."""
    return {
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


def _model(logits: Tensor) -> dict[str, Any]:
    return {"backbone": None, "experts": logits.shape[1], "parameters": None}


def score_row(folder: Path, row: ResolvedRow, outputs: TrialOutputs) -> float:
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
