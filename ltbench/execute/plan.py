"""The plan of a run: which trials, in which order, what is left to do and how long it may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ltbench.data.dataset import Splits
from ltbench.errors import InputError
from ltbench.evaluate.stream import check_streamable
from ltbench.evaluate.view_crops import unfit_views
from ltbench.execute.all_methods import check_fits, required, unless_left_out
from ltbench.execute.draft import (
    Draft,
    Training,
    asking,
    draft_trial,
    told_state,
    training_of,
    with_parents,
)
from ltbench.execute.engine import EngineSettings
from ltbench.execute.engines.here import Local
from ltbench.execute.estimate import (
    Estimate,
    KnownSeconds,
    estimate_trial,
    seconds_once,
    training_memory,
)
from ltbench.execute.features import (
    check_stored_features,
    heads_alone_note,
    refuse_on_features,
    with_dim,
)
from ltbench.execute.job import Job, MemberJob, Settings
from ltbench.execute.measured_rates import MeasuredRates
from ltbench.execute.plan_ensembles import Asked, with_ensembles
from ltbench.execute.tracker import Kinds
from ltbench.names import Call, Row
from ltbench.protocol.protocol import FEATURES, LISTS, RESIZED, Protocol
from ltbench.registry import Registries
from ltbench.resolve.ensembles import is_ensemble
from ltbench.resolve.rows import ResolvedRow, check_row, knows_posterior, resolve_row, shared_row
from ltbench.shift.trainset import planned_counts
from ltbench.task import Task, build_task, missing_sets
from ltbench.train.division import divide
from ltbench.train.schedule import warnings as schedule_warnings
from ltbench.train.streamed import unfit
from ltbench.trial.trial import Trial


@dataclass(frozen=True)
class PlannedTrial:
    """A trial, the rows evaluated on it, and how it stands.

    state: ``finished`` (the training; rows may still lack evaluations), ``interrupted``, ``failed``,
    ``new``, ``stale`` (an ensemble: a member is another one now) or ``unknown`` (the images are not
    here yet). complete: nothing is left to do.
    """

    trial: Trial
    training: str
    rows: tuple[ResolvedRow, ...]
    state: str
    estimate: Estimate
    job: Job
    folder: Path
    complete: bool = False
    after: tuple[str, ...] = ()
    """The trials it stands on, by hash: an ensemble's members, what a training starts or learns from."""

    @property
    def label(self) -> str:
        return f"{self.training} seed {self.trial.seed}"


@dataclass(frozen=True)
class Offer:
    """What the trials of a plan have to give: held-out training images, the network."""

    holdout: bool
    network: bool


@dataclass
class Plan:
    """Trials in the order in which they start: seed by seed. engine: where they run; detach: leave
    them running there; trackers: told how they go, by name."""

    protocol: Protocol
    trials: list[PlannedTrial]
    jobs: int = 1
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """A line for each method that ``all`` does not stand for here."""
    engine: EngineSettings = field(default_factory=Local)
    detach: bool = False
    jobs_per_gpu: int | str | None = None
    trackers: Kinds = field(default_factory=dict)


_TOLD_MEMORY = 4_000_000_000
"""Bytes above which a plan says what training takes: more than many a machine has."""


def make_plan(
    rows: Sequence[Row],
    protocol: Protocol,
    seeds: Sequence[int],
    registries: Registries,
    splits: Splits | None,
    settings: Settings,
    sharing: Callable[[int, int], tuple[int, int]],
    device: str,
    left_out: Sequence[str] = (),
    rates: MeasuredRates | None = None,
) -> Plan:
    """Resolves and checks everything before any work.

    ``sharing`` says for a number of unfinished trials, and the bytes that the largest takes, how many
    run side by side, with how many threads each; ``device`` where they will run: ``cpu``, ``cuda`` or
    ``mps``. ``left_out``: what is known to be left out of ``all`` already.
    ``rates``: how fast this machine trains; None where trials run elsewhere.

    Every trial also gets a ``none`` row and, where the method's bias is known in closed form or can
    be fitted on a hold-out, an ``oracle`` row: gain and regret need them. Raises
    :class:`InputError` with one line for whatever is wrong.
    """
    protocol = with_dim(protocol, splits)
    if splits is not None:
        check_stored_features(protocol, splits)
    task = build_task(protocol, splits) if splits is not None else None
    counts, sizes = _counts(protocol, task)
    notes = schedule_warnings(protocol.recipe)
    if task is not None:
        notes += missing_sets(task)
    holdout = protocol.train.holds_out if task is None else len(task.holdout) > 0
    streamed = protocol.data.source == LISTS if task is None else task.splits.train.streamed
    offer = Offer(holdout, network=settings.mode == "clean")
    left_out = list(left_out)
    resolved: list[ResolvedRow] = []

    def checked(row: Row) -> list[ResolvedRow]:
        if settings.arrivals:
            check_streamable(resolve_row(row, protocol, registries))
        asked = resolve_row(row, protocol, registries)
        with asking(asked.method):
            method = asked.build_method(counts)
            refuse_on_features(asked, method, protocol, splits, settings.mode)
        found = _with_references(row, protocol, registries, counts, offer, notes)
        if row.optional:
            check_fits(found[0], protocol, registries, counts, streamed)
        return found

    for row in rows:
        for reference in unless_left_out(row, left_out, partial(checked, row)) or ():
            if reference not in resolved:
                resolved.append(reference)
    several = [row for row in resolved if is_ensemble(row.method)]
    joint = _kept_once(several, protocol, registries, counts, notes)
    single = [row for row in resolved if not is_ensemble(row.method)]
    trainings = _group_by_training(single, protocol, registries, counts, notes)
    for wanted in trainings:
        with asking(wanted.method):
            method = wanted.method.cls(counts, wanted.hyper)
            if note := heads_alone_note(wanted.label, method, protocol):
                notes.append(note)
    drafts = [
        draft_trial(wanted, seed, protocol, task, settings, registries, counts)
        for seed in seeds
        for wanted in trainings
    ]
    if settings.mode == "augmented":
        _check_augmented(drafts)
    if not settings.train:
        drafts = _trained(drafts, left_out)
    if left_out and not drafts and not joint:
        raise InputError(f"of `all` nothing is left under {protocol.name}: {left_out[0]}")
    asked = Asked(protocol, seeds, registries, task, counts, settings)
    drafts = with_parents(with_ensembles(drafts, joint, asked, notes))
    memory = max((_memory(draft, counts, sizes[0], settings) for draft in drafts), default=0)
    if memory > _TOLD_MEMORY:
        notes.append(
            f"training takes about {memory / 1e9:.0f} GB of memory at a time (a rough estimate)"
        )
    jobs, threads = sharing(sum(not draft.complete for draft in drafts), memory)
    settings = replace(settings, threads=threads)
    known = seconds_once()
    trials = [
        _planned(draft, counts, sizes, settings, device, streamed, known, rates) for draft in drafts
    ]
    return Plan(protocol, trials, min(jobs, len(trials)), notes, left_out)


def _check_augmented(drafts: Sequence[Draft]) -> None:
    """The mode moves pixels of images that lie in memory; what a resized crop needs is gone there."""
    for draft in drafts:
        if draft.trial.recipe.crop == RESIZED:
            raise InputError(
                f'{draft.wanted.label}: recipe.crop = "{RESIZED}" cuts training images before they are '
                "made small, which mode 'augmented' cannot do with test images; use mode 'clean'"
            )


def _memory(draft: Draft, counts: torch.Tensor, images: int, settings: Settings) -> int:
    """Bytes that its training takes; 0 where nothing is trained any more."""
    if draft.state == "finished" or draft.members:
        return 0
    wanted = draft.wanted
    with asking(wanted.method):
        architecture = wanted.method.cls(counts, wanted.hyper).architecture()
    return training_memory(draft.trial, architecture, images, settings)


def _trained(drafts: Sequence[Draft], left_out: list[str]) -> list[Draft]:
    """Those that can be evaluated; only one that ``all`` stands for may lack its training."""
    found = []
    for draft in drafts:
        if draft.state == "finished":
            found.append(draft)
            continue
        told = (
            f"{draft.wanted.label} with seed {draft.trial.seed} is not trained yet "
            f"({told_state(draft)}); `ltbench run` trains it"
        )
        if required(draft.wanted.rows):
            raise InputError(told)
        left_out.append(f"left out: {told}")
    return found


def _planned(
    draft: Draft,
    counts: torch.Tensor,
    sizes: tuple[int, int],
    settings: Settings,
    device: str,
    streamed: bool,
    known: KnownSeconds,
    rates: MeasuredRates | None,
) -> PlannedTrial:
    wanted, trial = draft.wanted, draft.trial
    with asking(wanted.method):
        method = wanted.method.cls(counts, wanted.hyper)
        architecture, phases = method.architecture(), method.phases()
    trains = not draft.members and draft.state != "finished"
    if trains and (why := unfit(phases, trial.recipe, streamed, wanted.label)):
        raise InputError(why)
    asks_views = any("views" in row.needs for row in wanted.rows)
    if asks_views and (why := unfit_views(trial.protocol.views, streamed)):
        raise InputError(why)
    if trains:
        divide(trial.recipe, settings.processes, settings.accumulate)
    members = tuple(
        MemberJob(m.trial.hash, m.wanted.method.name, m.wanted.hyper.to_json(), m.trial.seed)
        for m in draft.members
    )
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
        members=members,
    )
    state, folder = draft.state, draft.folder
    # Nothing is trained for an ensemble but its members, nor for a head that follows from features.
    work = "finished" if members or not phases else state
    estimate = estimate_trial(
        *(trial, architecture, draft.pending, sizes, work, folder, settings, device, known, rates),
        streamed=streamed,
    )
    rows = tuple(wanted.rows)
    after = tuple(member.trial for member in members)
    if draft.parent is not None and state != "finished":
        after = (draft.parent.trial.hash,)
    return PlannedTrial(
        trial, wanted.label, rows, state, estimate, job, folder, draft.complete, after
    )


def _counts(protocol: Protocol, task: Task | None) -> tuple[torch.Tensor, tuple[int, int]]:
    """Training images per class, and the numbers of training and test images."""
    classes = protocol.data.used_classes
    if task is not None:
        sizes = (len(task.train.indices), len(task.splits.test))
        return torch.from_numpy(task.train.counts), sizes
    n_max, test_max = protocol.train.max_count, protocol.test.max_count
    if n_max is None or test_max is None:
        if protocol.data.source == FEATURES:
            raise InputError(
                f"the features of {protocol.name} are not here, so there is no plan to show; name their "
                "folder with --data-dir, `ltbench features` writes it"
            )
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
    with asking(asked.method):
        method = asked.build_method(counts)
        check_row(asked, method, holdout=offer.holdout, network=offer.network)
        closed = knows_posterior(method)
    if closed or offer.holdout:
        rows.append(resolve_row(replace(row, strategy=Call("oracle")), protocol, registries))
    elif "bias" in asked.needs:
        notes.append(
            f"{asked.label} stands on an unreliable guess of the prior in the logits; with "
            "`--set train.holdout=0.1` it is fitted on held-out training images"
        )
    return rows


def _group_by_training(
    rows: list[ResolvedRow],
    protocol: Protocol,
    registries: Registries,
    counts: torch.Tensor,
    notes: list[str],
) -> list[Training]:
    """Rows by the training they stand on; rows that give the same result are kept once."""
    trainings: list[Training] = []
    for row in rows:
        with asking(row.method):
            method = row.build_method(counts)
            shared = shared_row(row, method, protocol, registries)
            training = training_of(method, protocol, registries)
        row = _as_shared(row, shared, notes)
        known = next((known for known in trainings if known.same_as(training)), None)
        if known is None:
            trainings.append(training)
            known = training
        if row not in known.rows:
            known.rows.append(row)
    return trainings


def _kept_once(
    ensembles: Sequence[ResolvedRow],
    protocol: Protocol,
    registries: Registries,
    counts: torch.Tensor,
    notes: list[str],
) -> list[ResolvedRow]:
    kept: list[ResolvedRow] = []
    for row in ensembles:
        with asking(row.method):
            shared = shared_row(row, row.build_method(counts), protocol, registries)
        if (found := _as_shared(row, shared, notes)) not in kept:
            kept.append(found)
    return kept


def _as_shared(row: ResolvedRow, shared: ResolvedRow, notes: list[str]) -> ResolvedRow:
    if shared.method.name != row.method.name:
        notes.append(f"{row.label} equals {shared.label} and is reported as that")
    return shared
