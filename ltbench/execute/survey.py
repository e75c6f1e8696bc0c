"""Looks over a results folder: which trials there are and how they stand. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench import store
from ltbench.errors import InputError
from ltbench.execute.other_code import CodeSurvey, survey_code


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
    folders = trial_folders(results)
    code = survey_code(results, folders)
    return [_status(folder, code) for folder in folders]


def trial_folders(results: Path) -> list[Path]:
    """Every trial folder below ``results`` but published ones, sorted."""
    return sorted(
        folder
        for folder in results.glob("*/*/*-*")
        if folder.is_dir() and folder.parts[len(results.parts)] not in ("published", "report")
    )


def _status(folder: Path, code: CodeSurvey) -> TrialStatus:
    state, note = _state(folder)
    if state == "finished":
        note = ", ".join(part for part in (note, _code_note(folder, code)) if part)
    rows = len(list((folder / "evaluations").glob("*.json")))
    seed = folder.name.partition("-")[0]
    return TrialStatus(folder.parent.parent.name, folder.parent.name, seed, state, rows, note)


def _code_note(folder: Path, survey: CodeSurvey) -> str:
    """Which code trained it, where that is not ltbench's own, and whether it is the current one."""
    own = survey.trial_code(folder)
    if own is not None and survey.is_other(own):
        return f"code {own.short}, not the current one"
    told = [f"code {own.short}"] if own is not None and own.digest else []
    if rows := len(survey.others(folder)):
        told.append(f"{rows} of its rows of code that is not the current one")
    return ", ".join(told)


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
