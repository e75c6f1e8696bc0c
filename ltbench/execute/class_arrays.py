"""Array files by class of records that have none: whether ``ltbench evaluate`` can add them."""

from __future__ import annotations

from pathlib import Path

from ltbench.errors import InputError
from ltbench.evaluate.by_class import ClassCounts
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.stored import evaluation_path, has_arrays, known_arrays, sets_for
from ltbench.execute.job import Settings
from ltbench.resolve.rows import ResolvedRow
from ltbench.task import Task
from ltbench.trial import store
from ltbench.trial.ensemble_record import KEY, sound_members
from ltbench.trial.trial import Trial


def can_add_arrays(
    folder: Path, trial: Trial, row: ResolvedRow, task: Task, settings: Settings
) -> bool:
    """Whether the record of ``row`` lacks its array file and the trial has what it is made from.

    ``ltbench run`` adds none: a copy of records stays as it is until somebody asks for more.
    """
    if settings.train:
        return False
    path = evaluation_path(folder, trial, row, settings.mode)
    return not has_arrays(path, sets_for(row, task.test_sets)) and _has_outputs(folder, row)


def _has_outputs(folder: Path, row: ResolvedRow) -> bool:
    """Logits, and weights for what runs the network; of an ensemble those of every member."""
    try:
        record = store.read_record(folder / store.TRIAL)
        places = list(sound_members(record, folder)) if KEY in record else [folder]
    except InputError:
        return False
    files = [store.LOGITS]
    if row.needs & {"views", "network"}:
        files.append(store.WEIGHTS)
    return all((place / name).exists() for place in places for name in files)


def class_counts(path: Path, outputs: TrialOutputs) -> ClassCounts:
    """For one row, whose record is at ``path``, with what its array file holds already."""
    return ClassCounts(
        known_arrays(path), outputs.holdout, rarer(outputs.task.train.counts.tolist())
    )


def rarer(counts: list[int]) -> int:
    """Of the first two classes the one with fewer training images; of equal ones the second."""
    return 0 if counts[0] < counts[1] else 1
