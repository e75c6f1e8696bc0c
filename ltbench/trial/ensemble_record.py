"""What the record of an ensemble says of its members, and whether they are still those. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.trial import store
from ltbench.trial.asked_code import Code

KEY = "ensemble"
"""The key of a ``trial.json`` that only an ensemble's has."""


def member_entry(
    label: str, method: Mapping[str, Any], record: Mapping[str, Any]
) -> dict[str, Any]:
    """One member. method: as what it is evaluated, called ``label`` alone; record: its ``trial.json``.

    ``weights`` tells which network exactly it is, ``training_digest`` of which code, where that is
    not ltbench's own.
    """
    training = record["training"]
    code = {"training_digest": training["digest"]} if training.get("digest") else {}
    return {
        "label": label,
        "method": dict(method),
        "training": training["name"],
        "seed": record["seed"],
        "trial": record["trial"],
        "weights": _mark(record),
        **code,
    }


def codes_of_member(
    method: str, digest: str, training: str, training_digest: str
) -> tuple[Code, ...]:
    """Whose code a member stands on: of the method it is evaluated as, and of that which trained it."""
    own = Code("method", method, digest)
    if training == method or not training_digest:
        return (own,)
    return own, Code("method", training, training_digest)


def changed_member(record: Mapping[str, Any], folder: Path) -> str:
    """A line on the first member that is missing or another one now; empty where all are as they were.

    record: ``trial.json`` of the ensemble in ``folder``; its members lie beside it.
    """
    try:
        return _changed(record[KEY]["members"], folder)
    except (KeyError, TypeError):
        return "its record does not tell its members"


def _changed(members: Sequence[Mapping[str, Any]], folder: Path) -> str:
    if not members:
        return "its record lists no members"
    for entry in members:
        name = f"its member {entry['training']} seed {entry['seed']}"
        place = member_folder(entry, folder)
        found = store.finished_trial(place)
        if found is None:
            return f"{name} is not there, or not finished ({place})"
        if _mark(found) != entry["weights"]:
            origin = dict(entry.get("method", {})).get("origin")
            return f"{name} was {'imported' if origin == 'imported' else 'trained'} again"
    return ""


def sound_members(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """The folders of the members; raises :class:`InputError` where :func:`changed_member` tells of one."""
    changed = changed_member(record, folder)
    if changed:
        raise InputError(f"{folder}: the ensemble is stale: {changed}")
    return [member_folder(entry, folder) for entry in record[KEY]["members"]]


def member_folder(entry: Mapping[str, Any], folder: Path) -> Path:
    """Where the member of an ensemble in ``folder`` lies: in the same protocol's folder."""
    protocol = folder.parent.parent
    return protocol / str(entry["training"]) / f"{entry['seed']}-{entry['trial']}"


def _mark(record: Mapping[str, Any]) -> str:
    """The digest of the weights; of a record without one, the time when it was written."""
    return str(record.get("weights_sha256") or record["created"])
