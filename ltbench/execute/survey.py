"""Looks over a results folder: which trials there are and how they stand. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench import store
from ltbench.errors import InputError


@dataclass(frozen=True)
class TrialStatus:
    """state: finished, running, interrupted, failed, diverged or unreadable."""

    protocol: str
    training: str
    seed: str
    state: str
    rows: int
    note: str


def survey(results: Path) -> list[TrialStatus]:
    """Every trial folder, sorted; raises :class:`InputError` where ``results`` is no folder."""
    if results.exists() and not results.is_dir():
        raise InputError(f"results {results} is not a folder")
    return [_status(folder) for folder in trial_folders(results)]


def trial_folders(results: Path) -> list[Path]:
    """Every trial folder below ``results`` but published ones, sorted."""
    return sorted(
        folder
        for folder in results.glob("*/*/*-*")
        if folder.is_dir() and folder.parts[len(results.parts)] not in ("published", "report")
    )


def _status(folder: Path) -> TrialStatus:
    state, note = _state(folder)
    rows = len(list((folder / "evaluations").glob("*.json")))
    seed = folder.name.partition("-")[0]
    return TrialStatus(folder.parent.parent.name, folder.parent.name, seed, state, rows, note)


def _state(folder: Path) -> tuple[str, str]:
    if store.is_claimed(folder):
        return "running", ""
    if (folder / store.TRIAL).exists():
        try:
            record = store.read_record(folder / store.TRIAL)
        except InputError as error:
            return "unreadable", str(error)
        variant = str(record.get("protocol", {}).get("variant", ""))
        imported = "imported" if "imported" in record else ""
        return "finished", ", ".join(part for part in (imported, variant) if part)
    if (folder / store.FAILED).exists():
        try:
            record = store.read_record(folder / store.FAILED)
        except InputError as error:
            return "unreadable", str(error)
        return str(record.get("status", "failed")), str(record.get("error", ""))
    return "interrupted", "the same `ltbench run` continues it"
