"""Looks over a results folder: which trials there are and how they stand. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.execute.other_code import CodeSurvey, survey_code
from ltbench.trial import store
from ltbench.trial.ensemble_record import KEY, changed_member

_UNFINISHED = ("interrupted", "failed", "diverged")


@dataclass(frozen=True)
class TrialStatus:
    """state: finished, running, interrupted, failed, diverged or unreadable.

    command: what continues a trial that is not finished, or tries its failed rows again, without the
    results folder; empty where nobody recorded it. failed_rows: a line for each row whose evaluation
    failed.
    """

    protocol: str
    training: str
    seed: str
    state: str
    rows: int
    note: str
    command: tuple[str, ...] = ()
    failed_rows: tuple[str, ...] = ()


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
    failures = store.failed_rows(folder) if state == "finished" else []
    lines = tuple(_failure_line(record) for record in failures)
    if lines:
        note = ", ".join(part for part in (note, f"{len(lines)} rows failed") if part)
    command: list[str] = []
    if state in _UNFINISHED:
        command = store.recorded_command(folder)
    elif failures:
        command = [str(word) for word in failures[-1].get("command", ())]
    return TrialStatus(
        folder.parent.parent.name,
        folder.parent.name,
        seed,
        state,
        rows,
        note,
        tuple(command),
        lines,
    )


def _failure_line(record: dict[str, Any]) -> str:
    arrival = record.get("arrival")
    line = str(record.get("error", "failed"))
    return f"{line} (stream {arrival})" if arrival else line


def _code_note(folder: Path, survey: CodeSurvey) -> str:
    """Which code trained it, where that is not ltbench's own, and whether it is the current one."""
    own = survey.trial_code(folder)
    if own is not None and survey.is_other(own):
        return f"code {own.short}, not the current one"
    others = survey.others(folder)
    if others and others[0][0].is_trial:
        code = others[0][1]
        return f"its member {code.name} has code {code.short}, not the current one"
    told = [f"code {own.short}"] if own is not None and own.digest else []
    if rows := len(others):
        told.append(f"{rows} of its rows of code that is not the current one")
    return ", ".join(told)


def _state(folder: Path) -> tuple[str, str]:
    claimed = store.is_claimed(folder)
    holder = f"{store.holder_of(folder) or 'another process'}" if claimed else ""
    if (folder / store.TRIAL).exists():
        try:
            record = store.read_record(folder / store.TRIAL)
        except InputError as error:
            return "unreadable", str(error)
        variant = str(record.get("protocol", {}).get("variant", ""))
        imported = "imported" if "imported" in record else ""
        used = f"in use by {holder}" if claimed else ""
        stale = changed_member(record, folder) if KEY in record else ""
        told = (imported, variant, used, f"stale: {stale}" if stale else "")
        return "finished", ", ".join(part for part in told if part)
    if claimed:
        return "running", holder
    if (folder / store.FAILED).exists():
        try:
            record = store.read_record(folder / store.FAILED)
        except InputError as error:
            return "unreadable", str(error)
        return str(record.get("status", "failed")), str(record.get("error", ""))
    return "interrupted", "the same `ltbench run` continues it"
