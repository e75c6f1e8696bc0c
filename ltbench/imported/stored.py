"""The stored outputs of an imported model, as they were scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from ltbench.errors import InputError
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.execute.context import load_tensors
from ltbench.imported.in_memory import InMemory
from ltbench.imported.outputs import ModelOutputs, read_outputs
from ltbench.imported.stand_in import resolve_rows, stand_in
from ltbench.imported.task import PROTOCOL, build_trial, free_task, protocol_task
from ltbench.names import parse_row
from ltbench.registry import load_registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.trial import store


def is_imported(text: str, protocol: str, results: Path) -> bool:
    """Whether the row ``text`` is of a model that was imported into the table of ``protocol``."""
    return bool(_folders(parse_row(text).method.name, protocol, results))


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
    asked = parse_row(text)
    name = asked.method.name
    registries = load_registries(plugins)
    for folder in _folders(name, protocol, results):
        outputs = _read(folder)
        if protocol == PROTOCOL:
            task = free_task(outputs, overrides)
        else:
            task = protocol_task(protocol, overrides, plugins, data_dir, outputs)
        trial = build_trial(name, seed, outputs, task)
        if trial.folder(results) != folder:
            continue
        plugin = stand_in(name, outputs, registries)
        strategy = text.partition("+")[2] or "none"
        counts = torch.from_numpy(task.train.counts)
        (row,) = resolve_rows(strategy, plugin, counts, task.protocol, registries)
        logits, labels = outputs.logits, outputs.labels
        return TrialOutputs(trial, task, logits, logits, labels, _no_views), row
    raise InputError(
        f"{name} was imported into {protocol} with another seed than {seed} or other settings; give"
        " the --seed and --set of the import"
    )


def _folders(name: str, protocol: str, results: Path) -> list[Path]:
    found = []
    for folder in sorted((results / protocol / name).glob("*")):
        record = store.finished_trial(folder)
        if record is not None and "imported" in record and (folder / store.LOGITS).exists():
            found.append(folder)
    return found


def _read(folder: Path) -> ModelOutputs:
    """The arrays as they were given: what had no bias or counts gets none."""
    record, tensors = store.read_record(folder / store.TRIAL), load_tensors(folder / store.LOGITS)
    given = record["imported"]["arrays"]
    counts = InMemory(record["data"]["train_counts"]) if "counts" in given else None
    bias = InMemory(tensors["bias"]) if "bias" in tensors else None
    return read_outputs(InMemory(tensors["logits"]), InMemory(tensors["labels"]), counts, bias)


def _no_views(k: int) -> NoReturn:
    raise InputError("imported logits come without augmented views")
