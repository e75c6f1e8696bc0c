"""The part of a plan that ensembles make: which trainings each replicate stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ltbench.errors import InputError
from ltbench.execute.draft import (
    Draft,
    Training,
    asking,
    draft_trial,
    left_to_do,
    told_state,
    training_of,
)
from ltbench.execute.job import Settings, trial_folder
from ltbench.names import format_call
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.ensembles import members_of
from ltbench.resolve.rows import ResolvedRow
from ltbench.task import Task
from ltbench.trial import store
from ltbench.trial.ensemble import check_same_recipe, difference, ensemble_trial
from ltbench.trial.ensemble_record import changed_member
from ltbench.trial.trial import Trial


@dataclass(frozen=True)
class Asked:
    """What a plan is made for. seeds: of trainings, and the numbers of the replicates of ensembles."""

    protocol: Protocol
    seeds: Sequence[int]
    registries: Registries
    task: Task | None
    counts: torch.Tensor
    settings: Settings


@dataclass(frozen=True)
class _Slot:
    """The ``place``-th of ``of`` networks of one training in an ensemble.

    Replicate r takes seed of * r + place: two replicates share no network.
    """

    training: Training
    place: int
    of: int


def with_ensembles(
    drafts: Sequence[Draft], rows: Sequence[ResolvedRow], asked: Asked, notes: list[str]
) -> list[Draft]:
    """``drafts``, then the trainings that ``rows`` lack, then the ensembles.

    Where nothing may be trained, a replicate without all its members is left out with a note;
    raises :class:`InputError`, one line, where no replicate of an ensemble is left.
    """
    known = {draft.trial.hash: draft for draft in drafts}
    lacking: dict[str, Draft] = {}
    found: list[Draft] = []
    for wanted in _ensembles(rows):
        slots = _slots(wanted, asked)
        if not asked.settings.mixed_recipe:
            recipes = {
                slot.training.label: asked.protocol.recipe_for(slot.training.method.name)
                for slot in slots
            }
            check_same_recipe(wanted.label, recipes)
        left_out = []
        for replicate in asked.seeds:
            members = _members(slots, replicate, asked, known | lacking)
            missing = [member for member in members if member.state != "finished"]
            if missing and not asked.settings.train:
                left_out.append(_told(wanted.label, replicate, missing[0]))
                continue
            lacking |= {m.trial.hash: m for m in missing if m.trial.hash not in known}
            found.append(_draft(wanted, replicate, members, asked))
        if len(left_out) == len(asked.seeds):
            raise InputError(left_out[0])
        notes += left_out
    return [*drafts, *lacking.values(), *found]


def _ensembles(rows: Sequence[ResolvedRow]) -> list[Training]:
    ensembles: list[Training] = []
    for row in rows:
        label = format_call(row.method.name, row.method_params)
        wanted = Training(row.method, row.hyper, label, [row])
        same = [e for e in ensembles if (e.method, e.hyper) == (wanted.method, wanted.hyper)]
        if same:
            same[0].rows.append(row)
        else:
            ensembles.append(wanted)
    return ensembles


def _slots(wanted: Training, asked: Asked) -> list[_Slot]:
    trainings = []
    for member in members_of(wanted.method):
        with asking(member.method):
            method = member.build(asked.counts)
            trainings.append(training_of(method, asked.protocol, asked.registries))
    return [
        _Slot(
            training,
            sum(training.same_as(before) for before in trainings[:i]),
            sum(training.same_as(other) for other in trainings),
        )
        for i, training in enumerate(trainings)
    ]


def _members(
    slots: Sequence[_Slot], replicate: int, asked: Asked, known: dict[str, Draft]
) -> tuple[Draft, ...]:
    drafts = []
    for slot in slots:
        seed = slot.of * replicate + slot.place
        draft = draft_trial(
            slot.training,
            seed,
            asked.protocol,
            asked.task,
            asked.settings,
            asked.registries,
            asked.counts,
        )
        drafts.append(known.get(draft.trial.hash, draft))
    return tuple(drafts)


def _draft(wanted: Training, replicate: int, members: tuple[Draft, ...], asked: Asked) -> Draft:
    method = wanted.method
    labels: list[Any] = [member.label for member in members_of(method)]
    trial: Trial = ensemble_trial(
        method.name,
        {"members": labels},
        method.cls.version,
        method.digest,
        replicate,
        [member.trial for member in members],
    )
    folder = trial_folder(asked.settings, trial)
    state = "unknown"
    if asked.task is not None:
        record = store.finished_trial(folder)
        state = "new" if record is None else "finished"
        if record is not None and changed_member(record, folder):
            state = "stale"
    left = left_to_do(wanted, trial, asked.task, asked.settings)
    return Draft(wanted, trial, folder, state, *left, members)


def _told(label: str, replicate: int, missing: Draft) -> str:
    """Why a replicate cannot be formed: the training is not there, or one of other settings is."""
    told = told_state(missing)
    own = missing.trial.identity()
    for folder in sorted(missing.folder.parent.glob(f"{missing.trial.seed}-*")):
        record = store.finished_trial(folder)
        if record is not None and isinstance(record.get("identity"), dict):
            told = f"what is there differs: {difference(record['identity'], own)}"
    return (
        f"{label} has no replicate {replicate}: {missing.label} is not trained yet ({told}); "
        "`ltbench run` trains it"
    )
