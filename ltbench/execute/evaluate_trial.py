"""The evaluations of one trial, from its stored logits."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench import store
from ltbench.errors import InterruptedRun, LtbenchError, describe
from ltbench.evaluate.augmented import augmented_logits
from ltbench.evaluate.evaluate import TrialOutputs, evaluate_row
from ltbench.evaluate.network import ImageNetwork
from ltbench.evaluate.sources import HoldOut, bias_block
from ltbench.evaluate.stored import (
    evaluation_hash,
    evaluation_path,
    is_complete,
    known_distributions,
    sets_for,
)
from ltbench.evaluate.views import ViewLogits
from ltbench.execute.context import TrialContext, load_tensors, now
from ltbench.files import write_json
from ltbench.models.resnet import ExpertResNet, build_network
from ltbench.rows import ResolvedRow
from ltbench.seeds import generator
from ltbench.train.infer import Inference
from ltbench.trial import SCHEMA


def evaluate_trial(context: TrialContext, record: dict[str, Any]) -> None:
    """Evaluates every row of the job that is not complete; one that fails stops no other."""
    rows = context.job.resolve_rows(context.registries)
    pending = [
        row
        for row in rows
        if not is_complete(_path(context, row), sets_for(row, context.task.test_sets))
    ]
    if not pending:
        return
    outputs = trial_outputs(context)
    failures: list[tuple[ResolvedRow, Exception]] = []
    for row in pending:
        try:
            _evaluate_row(context, row, outputs, record)
        except InterruptedRun:
            raise
        except Exception as error:  # one row's plugin must not cost the others theirs
            failures.append((row, error))
    raise_failures(failures)


def raise_failures(failures: list[tuple[ResolvedRow, Exception]]) -> None:
    """One error that tells of all rows that failed; none where none did."""
    if failures:
        told = "; ".join(_failure_line(row, error) for row, error in failures)
        raise LtbenchError(told) from failures[0][1]


def trial_outputs(context: TrialContext) -> TrialOutputs:
    """What evaluations and streams stand on; raises where the trial's files are not all there."""
    weights = context.folder / store.WEIGHTS
    if not weights.exists() or not (context.folder / store.LOGITS).exists():
        raise LtbenchError(
            f"{context.folder} holds a record without logits and weights; it can be "
            "reported, not evaluated again"
        )
    stored = load_tensors(context.folder / store.LOGITS)
    logits = stored["logits"]
    network = _network(context, weights)
    inference = Inference(network, context.mean, context.std, context.device)
    test = context.task.splits.test
    shifted = logits
    if context.job.settings.mode == "augmented":
        shifted = augmented_logits(inference, test, context.trial.recipe, context.trial.seed)
    views = ViewLogits(inference, weights, test, context.job.protocol.views, context.report)
    labels = torch.from_numpy(np.array(test.labels))
    return TrialOutputs(
        context.trial,
        context.task,
        logits,
        shifted,
        labels,
        views,
        holdout=_holdout(context, stored),
        network=ImageNetwork(network, context.mean, context.std, context.device).private_copy,
        images=lambda chosen: torch.from_numpy(test.read(chosen.numpy())),
    )


def _failure_line(row: ResolvedRow, error: Exception) -> str:
    line = describe(error)
    return line if line.startswith(row.label) else f"{row.label}: {line}"


def _network(context: TrialContext, weights: Path) -> ExpertResNet:
    protocol = context.job.protocol
    network = build_network(
        protocol.model.backbone,
        protocol.data.used_classes,
        context.method().architecture(),
        generator("shell"),
    )
    network.load_state_dict(load_tensors(weights))
    return network.to(memory_format=torch.channels_last)


def _holdout(context: TrialContext, stored: dict[str, torch.Tensor]) -> HoldOut | None:
    held = context.task.train.holdout
    if not len(held):
        return None
    labels = torch.from_numpy(context.task.splits.train.labels[held])
    logits = stored.get("holdout")
    if logits is None or len(logits) != len(labels):
        raise LtbenchError(
            f"{context.folder / store.LOGITS} lacks the logits of its {len(labels)} held-out images; "
            "without the folder the trial is trained again"
        )
    return HoldOut(logits, labels)


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

    distributions = evaluate_row(outputs, row, known_distributions(_path(context, row)), step)
    evaluation = {
        "schema": SCHEMA,
        "evaluation": evaluation_hash(context.trial, row, context.job.settings.mode),
        **row_facts(context, row, outputs, record),
        "seconds": round(time.monotonic() - began, 3),
        "created": now(),
        "distributions": distributions,
    }
    write_json(_path(context, row), evaluation)
    draws = distributions["uniform"]["draws"].values()
    uniform = math.fsum(draw["top1"] for draw in draws) / len(draws)
    context.emit({"event": "row", "label": row.label, "uniform": uniform})


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
