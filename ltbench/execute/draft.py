"""Trials that a plan may come to, and how they stand before it is known how many run side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ltbench.evaluate.stored import evaluation_path, is_complete, sets_for
from ltbench.evaluate.stream import is_streamed, stream_path
from ltbench.execute.class_arrays import can_add_arrays
from ltbench.execute.job import Settings, build_trial, trial_folder
from ltbench.execute.lineage import Training as Training
from ltbench.execute.lineage import asking as asking
from ltbench.execute.lineage import find_parent
from ltbench.execute.lineage import training_of as training_of
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.shift.arrival import parse_arrival
from ltbench.task import Task
from ltbench.trial import store
from ltbench.trial.trial import ParentTrial, Trial


@dataclass(frozen=True)
class Draft:
    """A trial and how it stands, before it is known how many run side by side."""

    wanted: Training
    trial: Trial
    folder: Path
    state: str
    pending: list[ResolvedRow]
    streamed: bool
    members: tuple[Draft, ...] = ()
    """Of an ensemble: the trainings it stands on, in the order of its experts."""
    parent: Draft | None = None
    """Of a training that starts or learns from another one."""

    @property
    def label(self) -> str:
        return f"{self.wanted.label} seed {self.trial.seed}"

    @property
    def complete(self) -> bool:
        done = self.state == "finished" and not self.pending and self.streamed
        return done and all(member.state == "finished" for member in self.members)


def draft_trial(
    wanted: Training,
    seed: int,
    protocol: Protocol,
    task: Task | None,
    settings: Settings,
    registries: Registries,
    counts: Tensor,
) -> Draft:
    """counts: ``(C,)`` training images per class. With the drafts of what it stands on."""
    found = find_parent(wanted, protocol, registries, counts)
    parent, of = None, None
    if found is not None:
        parent = draft_trial(found.training, seed, protocol, task, settings, registries, counts)
        of = ParentTrial(found.role, parent.trial)
    splits = task.splits if task else None
    trial = build_trial(protocol, wanted.method, wanted.hyper, seed, settings.precision, splits, of)
    folder = trial_folder(settings, trial)
    state = state_of(folder) if task else "unknown"
    left = left_to_do(wanted, trial, task, settings)
    return Draft(wanted, trial, folder, state, *left, parent=parent)


def with_parents(drafts: Sequence[Draft]) -> list[Draft]:
    """``drafts``, before each the trainings that it stands on and that are not there yet."""
    known = {draft.trial.hash for draft in drafts}
    found: list[Draft] = []
    for draft in drafts:
        for parent in _lacking(draft):
            if parent.trial.hash not in known:
                known.add(parent.trial.hash)
                found.append(parent)
        found.append(draft)
    return found


def _lacking(draft: Draft) -> list[Draft]:
    """What has to be trained before ``draft`` can be, in that order."""
    if draft.state == "finished" or draft.parent is None or draft.parent.state == "finished":
        return []
    return [*_lacking(draft.parent), draft.parent]


def left_to_do(
    wanted: Training, trial: Trial, task: Task | None, settings: Settings
) -> tuple[list[ResolvedRow], bool]:
    """The rows that lack an evaluation, and whether every stream that was asked for is there."""
    folder = trial_folder(settings, trial)
    pending = [
        row
        for row in wanted.rows
        if task is None
        or not is_complete(
            evaluation_path(folder, trial, row, settings.mode),
            sets_for(row, task.test_sets),
            task.left_out,
        )
        or can_add_arrays(folder, trial, row, task, settings)
    ]
    streamed = all(
        task is not None
        and is_streamed(stream_path(folder, trial, row, settings.mode, arrival), task.test_sets)
        for arrival in map(parse_arrival, settings.arrivals)
        for row in wanted.rows
    )
    return pending, streamed


def told_state(draft: Draft) -> str:
    if (draft.folder / store.LOGITS).exists() and not (draft.folder / store.TRIAL).exists():
        return f"{draft.folder / store.TRIAL} is missing, so its logits count for nothing"
    return draft.state


def state_of(folder: Path) -> str:
    if store.finished_trial(folder) is not None:
        return "finished"
    if (folder / store.FAILED).exists():
        return "failed"
    if (folder / store.CHECKPOINT).exists() or (folder / store.STARTS).exists():
        return "interrupted"
    return "new"
