"""Chooses hyper-parameters and recipe fields on held-out training images; no test image has a say.

Every grid point is an ordinary trial with a hold-out, trained and not evaluated on the test set; points
that training cannot tell apart share one. The score of a point is the accuracy of ``predict`` on the
hold-out under the label distributions of the protocol, forward over uniform to backward, and its mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from ltbench.execute.grid import grid_rows, recipe_points, row_text, split_axes
from ltbench.execute.plan import Plan, PlannedTrial
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.hyper import Json
from ltbench.names import format_call
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.shift.profiles import prior
from ltbench.shift.testsets import TestSet
from ltbench.task import Task, build_task
from ltbench.trial import store
from ltbench.trial.checked import write_checked
from ltbench.trial.trial import SCHEMA, content_hash

DEFAULT_HOLDOUT = 0.1
OBJECTIVE = "mean over forward, uniform and backward of the hold-out accuracy under each prior"


@dataclass(frozen=True)
class Candidate:
    """A grid point. score: None where a trial of it failed; trials: one for each seed; recipe: what
    of the recipe is overridden."""

    row: ResolvedRow
    trials: tuple[PlannedTrial, ...]
    score: HoldOutScore | None = None
    recipe: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """As ``run`` takes it: ``sade[tau=1]``."""
        return format_call(self.row.method.name, self.row.method_params)

    @property
    def label(self) -> str:
        """``sade[tau=1] recipe.lr=0.05``."""
        return " ".join((self.method, *(f"{key}={value}" for key, value in self.recipe.items())))


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
    if not request.load_protocol().train.holds_out:
        overrides = {**overrides, "train.holdout": str(DEFAULT_HOLDOUT)}
    if not grid:
        raise InputError("tune needs --grid, as in --grid 'tau=0.5,1,2' or 'recipe.lr=0.05,0.1'")
    hyper_axes, recipe_axes = split_axes(grid)
    rows = grid_rows(method, hyper_axes, load_registries(request.plugins))
    points = recipe_points(recipe_axes)
    for key in points[0]:
        if key in overrides:
            raise InputError(f"{key} is given twice, by --grid and as an override; give one")
    text = ",".join(map(row_text, rows))
    request = replace(request, methods=text, overrides=overrides, command=command)
    protocol = request.load_protocol()
    if not protocol.train.holds_out:
        raise InputError("tune chooses on held-out training images: train.holdout must be above 0")
    plans = [
        prepare(replace(request, overrides={**overrides, **point}), report) for point in points
    ]
    candidates: list[Candidate] = []
    for plan, point in zip(plans, points, strict=True):
        candidates += _candidates(plan, point, len(rows))
    if recipe_axes:
        _check_recipes(candidates, method)
    trials = [
        _training_only(planned, point)
        for plan, point in zip(plans, points, strict=True)
        for planned in plan.trials
    ]
    notes = [note for plan in plans for note in plan.notes if "is reported as that" not in note]
    whole = replace(
        plans[0],
        protocol=protocol,
        trials=trials,
        jobs=min(max(plan.jobs for plan in plans), len(trials)),
        notes=list(dict.fromkeys(notes)),  # no row is reported
    )
    return TunePlan(whole, tuple(candidates), request)


def _candidates(plan: Plan, point: Mapping[str, str], rows: int) -> list[Candidate]:
    """The grid points of one recipe. Raises :class:`InputError` where two are the same."""
    found: dict[str, list[PlannedTrial]] = {}
    points: dict[str, ResolvedRow] = {}
    for planned in plan.trials:
        for row in planned.rows:
            if row.strategy.name == "none":
                points[row.label] = row
                found.setdefault(row.label, []).append(_training_only(planned, point))
    if len(points) < rows:
        raise InputError(f"--grid names {rows} points, of which only {len(points)} differ")
    return [Candidate(row, tuple(found[label]), recipe=point) for label, row in points.items()]


def _check_recipes(candidates: Sequence[Candidate], method: str) -> None:
    """Raises :class:`InputError` where two recipes of the grid are one: of equal values, or because
    the protocol gives the method a value of its own, which goes before the recipe's."""
    seen: dict[tuple[str, ...], Candidate] = {}
    for candidate in candidates:
        key = (candidate.method, *(planned.trial.hash for planned in candidate.trials))
        other = seen.setdefault(key, candidate)
        if other is not candidate:
            raise InputError(
                f"--grid: {other.label} and {candidate.label} are the same training; are two values "
                f"equal, or does [methods.{method.partition('[')[0]}.recipe] set the field for itself?"
            )


def _training_only(planned: PlannedTrial, recipe: Mapping[str, str]) -> PlannedTrial:
    """Without rows: nothing of the test set is scored, so nobody can look there while choosing."""
    finished = planned.state == "finished"
    return replace(
        planned,
        training=" ".join((planned.training, *(f"{k}={v}" for k, v in recipe.items()))),
        rows=(),
        job=replace(planned.job, rows=()),
        complete=finished,
        estimate=Estimate(0.0, 0, "") if finished else planned.estimate,
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
    if not len(task.holdout):
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
    write_checked(path, _record(tune, task, choice))
    return choice


def _score(candidate: Candidate, task: Task, sets: Sequence[TestSet]) -> HoldOutScore | None:
    labels = torch.from_numpy(task.holdout.labels)
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
    labels = task.holdout.labels
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
        **({"recipe": {**candidate.recipe}} if candidate.recipe else {}),
        "score": None if score is None else score.mean,
        "error": None if score is None else score.error,
        "distributions": by_set,
        "trials": [planned.trial.hash for planned in candidate.trials],
    }
