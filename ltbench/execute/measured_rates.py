"""How fast trainings were on this machine: what the next plan's estimate stands on.

``measured.json`` in the cache folder has images a second of the last few trainings of each kind, a kind
being what decides them (:func:`conditions`). Nothing but estimates depends on it: a file that is damaged, of
another program or of another version counts as empty and is written anew, one that cannot be written is left
out. Several processes may write at once: each reads, adds and renames a whole file into place, so that of two
at the same moment the last one wins, the other's figure is lost, and no file is ever half of each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ltbench.data.cache import cache_root
from ltbench.errors import LtbenchError
from ltbench.execute.job import Settings
from ltbench.files import read_json, sweep_abandoned, write_text
from ltbench.protocol.protocol import FEATURES
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
        "device": device_name(device) if device.type == "cuda" else processor_name(),
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


@dataclass(frozen=True)
class MeasuredRates:
    """Median images a second by conditions, on ``device``, as a plan asks for them."""

    device: torch.device
    medians: Mapping[str, float]

    def of(self, trial: Trial, experts: int, settings: Settings, *, streamed: bool) -> float | None:
        asked = conditions(trial, experts, settings, self.device, streamed=streamed)
        return self.medians.get(_key(asked))


def read_rates(device: torch.device) -> MeasuredRates:
    return MeasuredRates(device, {key: median(rates) for key, (_, rates) in _read().items()})


def add_rate(asked: Conditions, images_per_second: float) -> None:
    """Adds one training; nothing happens where the figure is none, or the cache cannot be written."""
    if not _is_rate(images_per_second):
        return
    # RuntimeError: there may be no home folder. No training fails for want of a note of its speed.
    with suppress(OSError, LtbenchError, RuntimeError, ValueError):
        path, known = measured_path(), _read()
        _, rates = known.pop(_key(asked), (asked, []))
        known[_key(asked)] = (asked, [*rates, float(images_per_second)][-_KEPT:])
        kept = list(known.values())[-_KINDS:]
        lines = ",\n".join(
            json.dumps({"conditions": kind, "images_per_second": rates}, ensure_ascii=False)
            for kind, rates in kept
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned([path])
        text = f'{{"format": {_FORMAT}, "trainings": [\n{lines}\n]}}\n'
        write_text(path, text, durable=False)  # after a crash of the machine it may start anew


def is_of_one_piece(record: Mapping[str, Any]) -> bool:
    """Whether the seconds in a trial's ``record`` are those of one process from start to end."""
    return not record["resumed_elsewhere"] and not record["preemptions"]


def _read() -> dict[str, tuple[Conditions, list[float]]]:
    """By :func:`_key`, those measured last at the end; what is no entry of this format is left out."""
    try:
        path = measured_path()
        if path.stat().st_size > _MOST_BYTES:
            return {}
        found = read_json(path)
        if found["format"] != _FORMAT:
            return {}
        entries = [entry for entry in found["trainings"] if _is_entry(entry)]
    except (OSError, LtbenchError, RuntimeError, KeyError, TypeError):
        return {}
    return {
        _key(entry["conditions"]): (entry["conditions"], entry["images_per_second"][-_KEPT:])
        for entry in entries[-_KINDS:]
    }


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("conditions"), dict):
        return False
    rates = entry.get("images_per_second")
    plain = all(isinstance(value, str | int) for value in entry["conditions"].values())
    return plain and isinstance(rates, list) and bool(rates) and all(map(_is_rate, rates))


def _is_rate(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < 1e12 and math.isfinite(value)


def _key(asked: Conditions) -> str:
    return json.dumps(asked, sort_keys=True)
