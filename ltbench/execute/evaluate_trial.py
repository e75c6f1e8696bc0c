"""The evaluations of one trial, from its stored logits."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from ltbench.errors import InterruptedRun, LtbenchError
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.sources import bias_block
from ltbench.evaluate.stored import (
    evaluation_hash,
    evaluation_path,
    is_complete,
    known_distributions,
    left_out_facts,
    sets_for,
)
from ltbench.execute.class_arrays import can_add_arrays, class_counts
from ltbench.execute.context import TrialContext, now
from ltbench.execute.measured_rates import add_row_seconds, row_conditions
from ltbench.execute.out_of_memory import let_go
from ltbench.execute.output_files import OutputFiles
from ltbench.execute.row_failure import RowFailure
from ltbench.progress import reported
from ltbench.resolve.rows import ResolvedRow
from ltbench.trial import store
from ltbench.trial.class_arrays import arrays_path, write_arrays
from ltbench.trial.light import write_record
from ltbench.trial.trial import SCHEMA


def evaluate_trial(context: TrialContext, files: OutputFiles) -> list[RowFailure]:
    """Evaluates every row of the job that is not complete; one that fails stops no other."""
    pending = []
    for row in context.job.resolve_rows(context.registries):
        path = _path(context, row)
        sets = sets_for(row, context.task.test_sets)
        complete = is_complete(path, sets, context.task.left_out)
        if complete and not _lacks_arrays(context, row):
            store.forget_failure(path)
        else:
            pending.append(row)
    if not pending:
        return []
    try:
        outputs = files.outputs()
    except LtbenchError as error:
        return [RowFailure(row.label, error, _path(context, row)) for row in pending]
    failures = []
    for row in pending:
        path = _path(context, row)
        try:
            files.check(row, outputs)
            _evaluate_row(context, row, outputs, files.record)
        except InterruptedRun:
            raise
        except Exception as error:  # one row's plugin must not cost the others theirs
            let_go(error)  # what it holds, the next row may need
            failures.append(RowFailure(row.label, error, path))
        else:
            store.forget_failure(path)
    return failures


def _lacks_arrays(context: TrialContext, row: ResolvedRow) -> bool:
    return can_add_arrays(context.folder, context.trial, row, context.task, context.job.settings)


def _path(context: TrialContext, row: ResolvedRow) -> Path:
    return evaluation_path(context.folder, context.trial, row, context.job.settings.mode)


def _evaluate_row(
    context: TrialContext, row: ResolvedRow, outputs: TrialOutputs, record: dict[str, Any]
) -> None:
    began = time.monotonic()
    done = 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        context.report(row.label, done, len(context.task.test_sets))

    path = _path(context, row)
    known, by_class = known_distributions(path), class_counts(path, outputs)
    anew = not known
    with reported(context.report):
        distributions = evaluate_row(outputs, row, known, step, by_class)
    write_arrays(arrays_path(path), by_class.result())
    if not is_complete(path, sets_for(row, context.task.test_sets), context.task.left_out):
        _write_record(context, row, outputs, record, distributions, began)
        if anew:  # of one piece
            _remember_seconds(context, row, outputs, time.monotonic() - began)
    draws = distributions["uniform"]["draws"].values()
    uniform = math.fsum(draw["top1"] for draw in draws) / len(draws)
    context.emit({"event": "row", "label": row.label, "uniform": uniform})


def _write_record(
    context: TrialContext,
    row: ResolvedRow,
    outputs: TrialOutputs,
    record: dict[str, Any],
    distributions: dict[str, Any],
    began: float,
) -> None:
    evaluation = {
        "schema": SCHEMA,
        "evaluation": evaluation_hash(context.trial, row, context.job.settings.mode),
        **row_facts(context, row, outputs, record),
        **left_out_facts(_path(context, row), context.task.left_out),
        "seconds": round(time.monotonic() - began, 3),
        "created": now(),
        "distributions": distributions,
    }
    write_record(_path(context, row), evaluation)


def _remember_seconds(
    context: TrialContext, row: ResolvedRow, outputs: TrialOutputs, seconds: float
) -> None:
    """For estimates of later plans."""
    n, experts, _ = outputs.logits.shape
    settings, device = context.job.settings, context.device
    add_row_seconds(row_conditions(context.trial, row, experts, settings, device, n), seconds)


def row_facts(
    context: TrialContext, row: ResolvedRow, outputs: TrialOutputs, record: dict[str, Any]
) -> dict[str, Any]:
    """What every record of a row repeats, so that a table needs no other file."""
    data = record["data"]
    return {
        "trial": context.trial.hash,
        "protocol": context.job.protocol.facts(),
        "seed": context.trial.seed,
        "method": row.method.name,
        "method_version": row.method.cls.version,
        "strategy_version": row.strategy.cls.version,
        **row.code_facts(),
        "method_params": row.method_params,
        "strategy": row.strategy.name,
        "strategy_params": row.strategy_params,
        "label": row.label,
        "title": row.method.cls.title,
        "uses_true_prior": row.uses_true_prior,
        "first_draw_only": row.first_draw_only,
        "bias": bias_block(row, outputs),
        "mode": context.job.settings.mode,
        "data": {k: data[k] for k in ("train_fingerprint", "test_fingerprint")},
        "recipe": record["recipe"],
        "precision": record["precision"],
        "model": record["model"],
        "train_counts": data["train_counts"],
        "rank": data["rank"],
        "class_names": data["class_names"],
        "groups": context.task.groups,
    }
