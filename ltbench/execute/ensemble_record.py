"""The record of an ensemble: its members, what they cost together, what they have in common."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltbench.errors import LtbenchError
from ltbench.execute.context import now
from ltbench.execute.ensemble_context import EnsembleContext
from ltbench.trial import store
from ltbench.trial.checked import write_checked
from ltbench.trial.ensemble_record import KEY, changed_member, member_entry
from ltbench.trial.trial import SCHEMA

_OF_ROWS = ("evaluations", "streams", store.FAILURES)


def renewed_record(context: EnsembleContext) -> dict[str, Any]:
    """``trial.json`` as it stands, or anew where a member is another network than it was.

    Evaluations on the former members go first, so that none ever stands beside a record that is not
    its own. Raises :class:`LtbenchError` where a member is not there.
    """
    members = [_finished(context, i) for i in range(len(context.parts))]
    return standing_record(context.folder) or write_anew(context.folder, _record(context, members))


def standing_record(folder: Path) -> dict[str, Any] | None:
    """``trial.json`` of the ensemble in ``folder`` where its members are still those it names."""
    record = store.finished_trial(folder)
    return None if record is None or changed_member(record, folder) else record


def write_anew(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Writes ``record``, after removing what was evaluated on the former members."""
    for name in _OF_ROWS:
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    write_checked(folder / store.TRIAL, record)
    return record


def _finished(context: EnsembleContext, place: int) -> dict[str, Any]:
    part = context.parts[place]
    record = store.finished_trial(part.folder)
    if record is None:
        raise LtbenchError(
            f"its member {part.trial.training} seed {part.trial.seed} is not trained ({part.folder})"
        )
    return record


def _record(context: EnsembleContext, members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    trial, first = context.trial, members[0]
    entries = [
        member_entry(member.label, member.facts(), record)
        for member, record in zip(context.members, members, strict=True)
    ]
    return {
        "schema": SCHEMA,
        "status": "finished",
        "trial": trial.hash,
        "protocol": trial.protocol.facts(),
        "training": trial.training_facts(context.plugin.origin),
        KEY: {"members": entries},
        "seed": trial.seed,
        "identity": trial.identity(),
        "data": first["data"],
        "recipe": _common([record["recipe"] for record in members]),
        "precision": trial.precision,
        "model": _model([record["model"] for record in members]),
        "environment": members[-1]["environment"],
        "environments": _different(e for record in members for e in record["environments"]),
        "resumed_elsewhere": any(record["resumed_elsewhere"] for record in members),
        "preemptions": sum(record["preemptions"] for record in members),
        "created": now(),
        "cost": _cost([record["cost"] for record in members]),
    }


def _different(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _common(recipes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The recipe of all; where they differ, ``mixed`` lists those there are."""
    different = _different(recipes)
    return recipes[0] if len(different) == 1 else {"mixed": different}


def _model(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Experts, parameters and multiply-accumulates of all members; the rest where it is the same."""
    common = {
        key: value if all(model.get(key) == value for model in models) else None
        for key, value in models[0].items()
    }
    sums = {key: sum(model[key] for model in models) for key in ("experts", "parameters", "macs")}
    return common | sums


def _cost(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Seconds are sums; images a second those of all trainings together; memory the largest."""
    seconds = {
        key: round(sum(cost["seconds"][key] for cost in costs), 3) for key in costs[0]["seconds"]
    }
    images = sum(cost["images_per_second"] * cost["seconds"]["training"] for cost in costs)
    epochs = {cost["epochs"] for cost in costs}
    peaks = [cost["peak_memory_bytes"] for cost in costs if cost["peak_memory_bytes"] is not None]
    return {
        "seconds": seconds,
        "images_per_second": round(images / max(seconds["training"], 1e-9), 1),
        "epochs": epochs.pop() if len(epochs) == 1 else None,
        "peak_memory_bytes": max(peaks, default=None),
    }
