"""The stored outputs of an imported model, as they were scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ltbench.errors import InputError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.imported.members import StoredImport, stored_imports
from ltbench.imported.outputs import ModelOutputs
from ltbench.imported.score import trial_outputs
from ltbench.imported.stand_in import resolve_rows, stand_in
from ltbench.imported.task import PROTOCOL, build_trial, check_classes, free_task, protocol_task
from ltbench.names import parse_row
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow


def is_imported(text: str, protocol: str, results: Path) -> bool:
    """Whether the row ``text`` is of a model that was imported into the table of ``protocol``."""
    return any(stored_imports(results, protocol, parse_row(text).method.name))


def imported_outputs(
    text: str,
    protocol: str,
    *,
    seed: int,
    results: Path,
    overrides: Mapping[str, Any],
    data_dir: Path | None = None,
    plugins: tuple[str, ...] = (),
) -> tuple[TrialOutputs, ResolvedRow]:
    """Of the row ``text``, ``name`` or ``name+strategy``; without a strategy it does not adapt.

    Raises :class:`InputError` where no import of this seed was made under these settings.
    """
    name = parse_row(text).method.name
    registries = load_registries(plugins)
    for found in stored_imports(results, protocol, name):
        if found.seed != seed:
            continue
        outputs = _as_given(found)
        if protocol == PROTOCOL:
            task = free_task(outputs, overrides)
        else:
            task = protocol_task(protocol, overrides, plugins, data_dir)
            check_classes(outputs, task)
        trial = build_trial(name, seed, outputs, task)
        if trial.folder(results) != found.folder:
            continue
        plugin = stand_in(name, outputs, registries)
        strategy = text.partition("+")[2] or "none"
        counts = torch.from_numpy(task.train.counts)
        (row,) = resolve_rows(strategy, plugin, counts, task.protocol, registries, outputs)
        return trial_outputs(trial, outputs, task), row
    raise InputError(
        f"{name} was imported into {protocol} with another seed than {seed} or other settings; give"
        " the --seed and --set of the import"
    )


def _as_given(found: StoredImport) -> ModelOutputs:
    """The arrays that the identity names: what had no counts or names of classes gets none."""
    given = found.record["imported"]["arrays"]
    names = tuple(found.record["data"]["class_names"]) if "classes" in given else None
    counts = found.outputs.counts if "counts" in given else None
    return replace(found.outputs, counts=counts, names=names)
