"""Imports are told by their content: what contradicts an earlier one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.execute.context import load_tensors
from ltbench.imported.outputs import ModelOutputs
from ltbench.imported.task import ImportedTrial
from ltbench.task import Task
from ltbench.trial import store
from ltbench.trial.checked import write_checked
from ltbench.trial.ensemble import FOLDER

_ALIKE = 1e-2
"""Relative distance of log-probabilities below which outputs are the same but for rounding."""

_ONCE = {
    "bias": "--bias",
    "holdout_logits": "--holdout-logits",
    "holdout_labels": "--holdout-labels",
    "view_logits": "--view-logits",
    "classes": "--classes",
}
"""What the same logits cannot have twice in two ways, and the options that give it."""


@dataclass(frozen=True)
class _Earlier:
    folder: Path
    record: dict[str, Any]

    @property
    def arrays(self) -> dict[str, str]:
        return dict(self.record["imported"]["arrays"])

    @property
    def trained_on(self) -> list[int]:
        return list(self.record["data"]["train_counts"])


def check_known(results: Path, trial: ImportedTrial, outputs: ModelOutputs, task: Task) -> None:
    """Compares with what lies under the same protocol and name.

    The same logits are one training: of one seed, one training set and one set of labels. A seed of a
    name has one array of logits and one bias on one training set. Raises :class:`InputError`.
    """
    _check_case(results, trial)
    _check_no_ensemble(results, trial)
    counts = task.train.counts.tolist()
    for earlier in _earlier(results, trial):
        same = _same_logits(earlier, trial, outputs)
        seed = earlier.record["seed"]
        if not same:
            if seed == trial.seed and _same_data(earlier, trial) and earlier.trained_on == counts:
                raise _contradiction(
                    earlier,
                    f"{trial.training!r} has other logits for seed {seed}",
                    "another training has another --seed, another model another --name",
                )
            continue
        if earlier.trained_on != counts:
            raise _contradiction(
                earlier,
                "the same logits are there as trained on another training set",
                f"{sum(earlier.trained_on)} images there, {sum(counts)} here; a model was trained on one",
            )
        if not _same_data(earlier, trial):
            raise _contradiction(
                earlier, "the same logits are there with other labels", "one of both is wrong"
            )
        if seed != trial.seed:
            raise _contradiction(
                earlier,
                f"the same logits are there as seed {seed}",
                "the same outputs twice are no second training",
            )
        for key, option in _ONCE.items():
            if earlier.arrays.get(key) != trial.arrays.get(key):
                had = f"another {option}" if key in earlier.arrays else f"no {option}"
                raise _contradiction(
                    earlier,
                    f"the same logits are there with {had}",
                    "one model has one bias" if key == "bias" else "one model is imported once",
                )
        if earlier.arrays["logits"] != trial.arrays["logits"]:
            raise _contradiction(
                earlier,
                "the same logits but for rounding are there from another file",
                "one of both files is enough",
            )


def _check_case(results: Path, trial: ImportedTrial) -> None:
    """Names that differ in case alone are one folder on some systems, and one model to a reader."""
    home = trial.folder(results).parent
    others = sorted(found.name for found in home.parent.glob("*") if found.name != home.name)
    for other in others:
        if other.lower() == home.name.lower():
            raise InputError(
                f"--name {home.name!r} differs in case alone from {other!r}, which is there "
                f"({home.parent / other}); write it alike or choose another name"
            )


def _check_no_ensemble(results: Path, trial: ImportedTrial) -> None:
    """An ensemble of imports of that name would be told by the same label."""
    home = trial.folder(results).parent
    for folder in sorted((home.parent / f"{FOLDER}{home.name}").glob("*")):
        record = store.finished_trial(folder)
        if record is not None and "imported" in record:
            raise InputError(
                f"--name {home.name!r} is that of an ensemble of imports ({folder}); choose another one"
            )


def known_title(results: Path, trial: ImportedTrial) -> str | None:
    """What tables call the model, from its earlier imports."""
    titles = (e.record["imported"].get("title") for e in _earlier(results, trial))
    return next((title for title in titles if isinstance(title, str)), None)


def rename(results: Path, trial: ImportedTrial, title: str) -> None:
    """Gives the records of earlier imports of the same name the title, so that they share a row."""
    for earlier in _earlier(results, trial):
        old = earlier.record["imported"].get("title") or trial.training
        if old == title:
            continue
        for path in sorted(earlier.folder.glob("evaluations/*.json")):
            record = store.read_record(path)
            for key in ("label", "title"):
                record[key] = title + str(record[key]).removeprefix(old)
            write_checked(path, record, indent=None)
        earlier.record["imported"]["title"] = title
        write_checked(earlier.folder / store.TRIAL, earlier.record)


def _earlier(results: Path, trial: ImportedTrial) -> Iterator[_Earlier]:
    for folder in sorted(trial.folder(results).parent.glob("*")):
        record = store.finished_trial(folder)
        if record is None:
            continue
        earlier = _Earlier(folder, record)
        try:
            complete = isinstance(earlier.arrays, dict) and bool(earlier.trained_on)
        except (KeyError, TypeError, ValueError):
            continue  # not an import, or damaged: the report tells
        if complete:
            yield earlier


def _same_data(earlier: _Earlier, trial: ImportedTrial) -> bool:
    data, mine = earlier.record["data"], trial.data_facts()
    return all(data.get(key) == mine[key] for key in ("train_fingerprint", "test_fingerprint"))


def _same_logits(earlier: _Earlier, trial: ImportedTrial, outputs: ModelOutputs) -> bool:
    """Equal bytes, or equal log-probabilities but for the rounding of another file format."""
    if earlier.arrays.get("logits") == trial.arrays["logits"]:
        return True
    path = earlier.folder / store.LOGITS
    stored = load_tensors(path).get("logits") if path.is_file() else None
    if stored is None or stored.shape != outputs.logits.shape:
        return False
    mine, theirs = _log_probabilities(outputs.logits), _log_probabilities(stored)
    return bool(torch.linalg.vector_norm(mine - theirs) <= _ALIKE * mine.norm())


def _log_probabilities(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=2)


def _contradiction(earlier: _Earlier, what: str, why: str) -> InputError:
    return InputError(
        f"{what} ({earlier.folder}); {why}. If that import was a mistake, remove its folder first"
    )
