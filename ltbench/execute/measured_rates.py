"""How fast trainings and evaluations were on this machine: what the next plan's estimate stands on.

``measured.json`` in the cache folder has, of the last few of each kind, images a second of trainings and
seconds of evaluations, a kind being what decides them (:func:`conditions`, :func:`row_conditions`). Nothing
but estimates depends on it: a file that is damaged, of another program or of another version counts as empty
and is written anew, one that cannot be written is left out. Several processes may write at once: each reads,
adds and renames a whole file into place, so that of two at the same moment the last one wins, the other's
figure is lost, and no file is ever half of each.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ltbench.data.cache import cache_root
from ltbench.errors import LtbenchError
from ltbench.execute.job import Settings
from ltbench.files import read_json, sweep_abandoned, write_text
from ltbench.protocol.protocol import FEATURES
from ltbench.resolve.rows import ResolvedRow
from ltbench.settings import identity_of
from ltbench.train.division import divide
from ltbench.train.speed import WORDS, resolve_speed
from ltbench.trial.environment import device_name, processor_name
from ltbench.trial.trial import Trial

_FORMAT = 1
_KEPT = 5
"""Trainings of a kind: their median is not moved by one beside which the machine was busy."""
_KINDS = 500
"""Those measured last; about 300 bytes each."""
_MOST_BYTES = 1_000_000
"""Of a file of ours; a larger one is not read."""
_TRAININGS, _ROWS = "trainings", "evaluations"
_VALUES = {_TRAININGS: "images_per_second", _ROWS: "seconds"}
"""The lists of the file, and what an entry of each has beside its conditions."""

Conditions = Mapping[str, str | int]


def measured_path() -> Path:
    return cache_root() / "measured.json"


def conditions(
    trial: Trial, experts: int, settings: Settings, device: torch.device, *, streamed: bool
) -> dict[str, str | int]:
    """What images a second depend on, as far as a plan knows; what is not used is not told.

    Of a method the name alone: hyper-parameters seldom cost time, but for the experts. streamed: whether
    images are opened one by one. Threads also tell trials side by side, which share the cores. The switches
    are those that ``--speed`` stands for, even where a network then could not use one.
    """
    data, model, recipe = trial.protocol.data, trial.protocol.model, trial.recipe
    features = data.source == FEATURES
    whole = divide(recipe, settings.processes, settings.accumulate).whole
    resident = not (streamed or features)
    speed = resolve_speed(settings.speed, device.type, whole=whole, resident=resident).facts()
    used = {
        "shared": model.shared,
        "norm_batch": recipe.norm_batch,
        "augment": recipe.augment,
        "speed": "+".join(word for word, switch in WORDS.items() if speed[switch]),
        "accumulate": settings.accumulate if settings.accumulate > 1 else None,
        "streamed": 1 if streamed else None,
        "loaders": settings.loaders if streamed else None,
    }
    return {
        "device": _machine(device),
        "kind": device.type,
        "backbone": model.backbone,
        "method": trial.training,
        "experts": experts,
        "classes": data.used_classes,
        **({"dim": data.dim or 0} if features else {"image_size": data.image_size}),
        "batch_size": recipe.batch_size,
        "precision": trial.precision,
        "threads": settings.threads,
        "processes": settings.processes,
        **{key: value for key, value in used.items() if value not in (None, "")},
    }


def _machine(device: torch.device) -> str:
    return device_name(device) if device.type == "cuda" else processor_name()


def row_conditions(
    trial: Trial, row: ResolvedRow, experts: int, settings: Settings, device: torch.device, n: int
) -> dict[str, str | int]:
    """What the seconds of evaluating ``row`` on all test sets of ``n`` images depend on.

    Also on the network, for it runs in some rows, and which views are rendered before is not known.
    """
    return {**_conditions_of_rows(trial, experts, settings, device, n), "row": row.label}


def _conditions_of_rows(
    trial: Trial, experts: int, settings: Settings, device: torch.device, n: int
) -> dict[str, str | int]:
    """What is the same for all rows of a trial."""
    protocol = trial.protocol
    tests = json.dumps([identity_of(protocol.test), identity_of(protocol.views)], sort_keys=True)
    return {
        "device": _machine(device),
        "backbone": protocol.model.backbone,
        "experts": experts,
        "classes": protocol.data.used_classes,
        "image_size": protocol.data.image_size,
        "images": n,
        "tests": hashlib.sha256(tests.encode()).hexdigest()[:12],
        "threads": settings.threads,
    }


@dataclass(frozen=True)
class MeasuredRates:
    """Median images a second of trainings by conditions, on ``device``, as a plan asks for them; rows: median
    seconds of evaluations."""

    device: torch.device
    medians: Mapping[str, float]
    rows: Mapping[str, float] = field(default_factory=dict)

    def of(self, trial: Trial, experts: int, settings: Settings, *, streamed: bool) -> float | None:
        asked = conditions(trial, experts, settings, self.device, streamed=streamed)
        return self.medians.get(_key(asked))

    def of_rows(
        self, trial: Trial, rows: Sequence[ResolvedRow], experts: int, settings: Settings, n: int
    ) -> float | None:
        """Seconds of all ``rows`` together; None where one of them was never evaluated so."""
        shared = _conditions_of_rows(trial, experts, settings, self.device, n)
        found = [self.rows.get(_key({**shared, "row": row.label})) for row in rows]
        known = [seconds for seconds in found if seconds is not None]
        return math.fsum(known) if len(known) == len(rows) else None


def read_rates(device: torch.device) -> MeasuredRates:
    trainings, rows = (
        {key: median(values) for key, (_, values) in kept.items()} for kept in _read().values()
    )
    return MeasuredRates(device, trainings, rows)


def add_rate(asked: Conditions, images_per_second: float) -> None:
    """Adds one training; nothing happens where the figure is none, or the cache cannot be written."""
    _add(_TRAININGS, asked, images_per_second)


def add_row_seconds(asked: Conditions, seconds: float) -> None:
    """The same for the evaluation of a row."""
    _add(_ROWS, asked, seconds)


def _add(name: str, asked: Conditions, value: float) -> None:
    if not _is_rate(value):
        return
    # RuntimeError: there may be no home folder. No training fails for want of a note of its speed.
    with suppress(OSError, LtbenchError, RuntimeError, ValueError):
        path, known = measured_path(), _read()
        _, values = known[name].pop(_key(asked), (asked, []))
        known[name][_key(asked)] = (asked, [*values, float(value)][-_KEPT:])
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned([path])
        lists = ",\n".join(f'"{of}": [\n{_lines(of, known[of])}\n]' for of in known)
        text = f'{{"format": {_FORMAT}, {lists}}}\n'
        write_text(path, text, durable=False)  # after a crash of the machine it may start anew


def _lines(name: str, known: Mapping[str, tuple[Conditions, list[float]]]) -> str:
    return ",\n".join(
        json.dumps({"conditions": kind, _VALUES[name]: values}, ensure_ascii=False)
        for kind, values in list(known.values())[-_KINDS:]
    )


def is_of_one_piece(record: Mapping[str, Any]) -> bool:
    """Whether the seconds in a trial's ``record`` are those of one process from start to end."""
    return not record["resumed_elsewhere"] and not record["preemptions"]


def _read() -> dict[str, dict[str, tuple[Conditions, list[float]]]]:
    """Of each list by :func:`_key`, those measured last at the end; what is no entry of this format is left
    out."""
    none: dict[str, dict[str, tuple[Conditions, list[float]]]] = {name: {} for name in _VALUES}
    try:
        path = measured_path()
        if path.stat().st_size > _MOST_BYTES:
            return none
        found = read_json(path)
        if found["format"] != _FORMAT:
            return none
        lists = {name: [*found.get(name, [])] for name in _VALUES}
    except (OSError, LtbenchError, RuntimeError, KeyError, TypeError):
        return none
    return {name: _entries(name, lists[name]) for name in _VALUES}


def _entries(name: str, found: list[Any]) -> dict[str, tuple[Conditions, list[float]]]:
    entries = [entry for entry in found if _is_entry(entry, _VALUES[name])][-_KINDS:]
    return {
        _key(entry["conditions"]): (entry["conditions"], entry[_VALUES[name]][-_KEPT:])
        for entry in entries
    }


def _is_entry(entry: Any, value: str) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("conditions"), dict):
        return False
    values = entry.get(value)
    plain = all(isinstance(each, str | int) for each in entry["conditions"].values())
    return plain and isinstance(values, list) and bool(values) and all(map(_is_rate, values))


def _is_rate(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < 1e12 and math.isfinite(value)


def _key(asked: Conditions) -> str:
    return json.dumps(asked, sort_keys=True)
