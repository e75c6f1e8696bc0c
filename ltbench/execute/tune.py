"""Chooses hyper-parameters on held-out training images; no test image has a say.

Every grid point is an ordinary trial with a hold-out, trained and not evaluated on the test set; points
that training cannot tell apart share one. The score of a point is the accuracy of ``predict`` on the
hold-out under the label distributions of the protocol, forward over uniform to backward, and its mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench.data.sources import open_data
from ltbench.errors import InputError, LtbenchError
from ltbench.evaluate.holdout_score import HoldOutScore, hits_per_class, score_under_priors
from ltbench.execute.command import tune_command
from ltbench.execute.context import load_tensors, now
from ltbench.execute.estimate import Estimate
from ltbench.execute.grid import grid_rows, row_text
from ltbench.execute.plan import Plan, PlannedTrial
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.files import write_json
from ltbench.hyper import Json
from ltbench.names import format_call
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.shift.profiles import prior
from ltbench.shift.testsets import TestSet
from ltbench.task import Task, build_task
from ltbench.trial import store
from ltbench.trial.trial import SCHEMA, content_hash

DEFAULT_HOLDOUT = 0.1
OBJECTIVE = "mean over forward, uniform and backward of the hold-out accuracy under each prior"


@dataclass(frozen=True)
class Candidate:
    """A grid point. score: None where a trial of it failed; trials: one for each seed."""

    row: ResolvedRow
    trials: tuple[PlannedTrial, ...]
    score: HoldOutScore | None = None

    @property
    def label(self) -> str:
        return format_call(self.row.method.name, self.row.method_params)


@dataclass(frozen=True)
class TunePlan:
    """The trials to train, and the grid points that are scored on them."""

    plan: Plan
    candidates: tuple[Candidate, ...]
    request: Request


@dataclass(frozen=True)
class Choice:
    """candidates in the order of the grid; chosen: the best; path: of the record."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    sets: tuple[TestSet, ...]
    seconds: float
    path: Path

    @property
    def as_good(self) -> list[str]:
        """Other points whose mean is within one standard error of the chosen one's."""
        best = self.chosen.score
        assert best is not None  # it was chosen by it
        return [
            candidate.label
            for candidate in self.candidates
            if candidate is not self.chosen
            and candidate.score is not None
            and best.mean - candidate.score.mean <= best.error
        ]


def plan_tuning(request: Request, method: str, grid: Sequence[str], report: Any = None) -> TunePlan:
    """Checks everything before any work. ``request.methods`` is not read.

    A protocol without a hold-out gets ``train.holdout`` = 0.1. Raises :class:`InputError`.
    """
    overrides: Mapping[str, Any] = request.overrides
    command = tune_command(request, method, grid)
    if request.load_protocol().train.holdout == 0:
        overrides = {**overrides, "train.holdout": str(DEFAULT_HOLDOUT)}
    rows = grid_rows(method, grid, load_registries(request.plugins))
    text = ",".join(map(row_text, rows))
    request = replace(request, methods=text, overrides=overrides, command=command)
    if request.load_protocol().train.holdout == 0:
        raise InputError("tune chooses on held-out training images: train.holdout must be above 0")
    plan = prepare(request, report)
    found: dict[str, list[PlannedTrial]] = {}
    points: dict[str, ResolvedRow] = {}
    for planned in plan.trials:
        for row in planned.rows:
            if row.strategy.name == "none":
                points[row.label] = row
                found.setdefault(row.label, []).append(_training_only(planned))
    if len(points) < len(rows):
        raise InputError(f"--grid names {len(rows)} points, of which only {len(points)} differ")
    candidates = tuple(Candidate(row, tuple(found[label])) for label, row in points.items())
    trials = [_training_only(planned) for planned in plan.trials]
    notes = [note for note in plan.notes if "is reported as that" not in note]  # no row is reported
    return TunePlan(replace(plan, trials=trials, notes=notes), candidates, request)


def _training_only(planned: PlannedTrial) -> PlannedTrial:
    """Without rows: nothing of the test set is scored, so nobody can look there while choosing."""
    finished = planned.state == "finished"
    return replace(
        planned,
        rows=(),
        job=replace(planned.job, rows=()),
        complete=finished,
        estimate=Estimate(0.0, 0, True) if finished else planned.estimate,
    )


def choose(tune: TunePlan) -> Choice:
    """Scores every grid point whose trials are finished, picks the best and writes the record.

    Of equal scores the first of the grid wins. Raises :class:`LtbenchError` where none is finished.
    """
    protocol = tune.plan.protocol
    data_dir = tune.request.data_dir
    task = build_task(
        protocol, open_data(protocol.data, data_dir, download=False, plugins=tune.request.plugins)
    )
    if not len(task.train.holdout):
        raise InputError("the hold-out is empty: no class has two training images")
    sets = tuple(s for s in task.test_sets if s.kind in ("forward", "uniform", "backward"))
    scored = tuple(replace(c, score=_score(c, task, sets)) for c in tune.candidates)
    best = max((c.score.mean for c in scored if c.score), default=None)
    if best is None:
        raise LtbenchError("no point of the grid has all its trials finished")
    chosen = next(c for c in scored if c.score and c.score.mean == best)
    records = {p.trial.hash: store.finished_trial(p.folder) for p in tune.plan.trials}
    seconds = math.fsum(
        math.fsum(record["cost"]["seconds"].values()) for record in records.values() if record
    )
    path = _record_path(tune)
    choice = Choice(scored, chosen, sets, seconds, path)
    write_json(path, _record(tune, task, choice))
    return choice


def _score(candidate: Candidate, task: Task, sets: Sequence[TestSet]) -> HoldOutScore | None:
    labels = torch.from_numpy(task.splits.train.labels[task.train.holdout])
    held = np.bincount(labels.numpy(), minlength=len(task.train.counts)).astype(np.float64)
    method = candidate.row.build_method(torch.from_numpy(task.train.counts))
    hits = []
    for planned in candidate.trials:
        if store.finished_trial(planned.folder) is None:
            return None
        path = planned.folder / store.LOGITS
        held_out = load_tensors(path).get("holdout")
        if held_out is None or len(held_out) != len(labels):
            raise LtbenchError(
                f"{path} lacks the logits of its {len(labels)} held-out images, on which tune chooses"
            )
        hits.append(hits_per_class(method.predict(held_out), labels))
    priors = np.stack([prior(test_set.counts) for test_set in sets])
    return score_under_priors(hits, held, priors)


def _record_path(tune: TunePlan) -> Path:
    first = tune.candidates[0].row
    identity = [[c.label, [p.trial.hash for p in c.trials]] for c in tune.candidates]
    name = f"{first.method.name}-{content_hash(identity)}.json"
    return tune.request.results / "tuning" / tune.plan.protocol.name / name


def _record(tune: TunePlan, task: Task, choice: Choice) -> dict[str, Json]:
    labels = task.splits.train.labels[task.train.holdout]
    held: list[Json] = np.bincount(labels, minlength=len(task.train.counts)).tolist()
    seeds: list[Json] = [*sorted({p.trial.seed for p in tune.plan.trials})]
    facts: dict[str, Json] = {**tune.plan.protocol.facts()}
    return {
        "schema": SCHEMA,
        "status": "tuned",
        "protocol": facts,
        "method": choice.chosen.row.method.name,
        "method_version": choice.chosen.row.method.cls.version,
        "method_digest": choice.chosen.row.method.digest,
        "seeds": seeds,
        "holdout": {"fraction": task.protocol.train.holdout, "counts": held},
        "objective": OBJECTIVE,
        "candidates": [_candidate(c, choice.sets) for c in choice.candidates],
        "chosen": choice.chosen.label,
        "within_one_error": [*choice.as_good],
        "cost": {"trials": len(tune.plan.trials), "seconds": round(choice.seconds, 3)},
        "created": now(),
    }


def _candidate(candidate: Candidate, sets: Sequence[TestSet]) -> dict[str, Json]:
    score = candidate.score
    by_set: dict[str, Json] | None = None
    if score is not None:
        values = zip(sets, score.accuracies, strict=True)
        by_set = {s.name: None if math.isnan(value) else float(value) for s, value in values}
    return {
        "row": candidate.label,
        "hyper": candidate.row.hyper.to_json(),
        "score": None if score is None else score.mean,
        "error": None if score is None else score.error,
        "distributions": by_set,
        "trials": [planned.trial.hash for planned in candidate.trials],
    }
