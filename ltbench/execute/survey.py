"""Looks over a results folder: which trials there are and how they stand. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.data.findings import printable, shown
from ltbench.errors import InputError
from ltbench.execute.other_code import CodeSurvey, survey_code
from ltbench.progress import duration
from ltbench.trial import store
from ltbench.trial.endings import ENDINGS
from ltbench.trial.ensemble_record import KEY, changed_member
from ltbench.trial.running import read_running

_RUNNING = (
    *("host", "process", "since", "silent", "engine", "job", "device"),
    *("stage", "done", "total", "seconds_left"),
)


@dataclass(frozen=True)
class TrialStatus:
    """state: finished, running, unreadable, or one of :data:`ltbench.trial.endings.ENDINGS`.

    command: what continues a trial that is not finished, or tries its failed rows again, without the
    results folder; empty where nobody recorded it. failed_rows: a line for each row whose evaluation
    failed. running: who is at it, as JSON (:func:`running_facts`); None where nobody is.
    """

    protocol: str
    training: str
    seed: str
    state: str
    rows: int
    note: str
    command: tuple[str, ...] = ()
    failed_rows: tuple[str, ...] = ()
    running: dict[str, Any] | None = None


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
    running = running_facts(folder)
    state, note = _state(folder, running)
    if state == "finished":
        note = ", ".join(part for part in (note, _code_note(folder, code)) if part)
    rows = len(list((folder / "evaluations").glob("*.json")))
    seed = folder.name.partition("-")[0]
    failures = store.failed_rows(folder) if state == "finished" else []
    lines = tuple(_failure_line(record) for record in failures)
    if lines:
        note = ", ".join(part for part in (note, f"{len(lines)} rows failed") if part)
    command: list[str] = []
    if state in ENDINGS:
        command = store.recorded_command(folder)
    elif failures:
        words = failures[-1].get("command")
        command = [str(word) for word in words] if isinstance(words, list) else []
    if command[:1] != ["ltbench"]:  # it is shown to be pasted, and the record may be a stranger's
        command = []
    return TrialStatus(
        shown(folder.parent.parent.name),
        shown(folder.parent.name),
        shown(seed),
        printable(state),
        rows,
        printable(note),
        tuple(map(printable, command)),
        tuple(map(printable, lines)),
        running,
    )


def running_facts(folder: Path) -> dict[str, Any] | None:
    """Who is at the trial: ``host``, ``process``, ``since`` (UTC), ``silent`` (seconds since the last sign
    of life), ``engine``, ``job``, ``device``, ``stage``, ``done``, ``total``, ``seconds_left``; null for
    what is not known. None where nobody is."""
    found = store.standing(folder)
    if found is None:
        return None
    facts: dict[str, Any] = dict.fromkeys(_RUNNING)
    facts["silent"] = round(found.silent, 1)
    holder = found.holder
    if holder is not None:
        facts |= {"host": holder.host, "process": holder.pid, "since": holder.since}
    told = read_running(folder, holder.token) if holder is not None else None
    if told is not None:
        left = told.seconds_left
        facts |= {"engine": told.engine, "job": told.job or None, "device": told.device}
        facts["seconds_left"] = None if left is None else round(left, 1)
        if told.stage:
            facts |= {"stage": told.stage, "done": told.done, "total": told.total}
    return facts


def _told(facts: dict[str, Any]) -> str:
    """The same in a line; the process first, as those who wait for it name it."""
    parts = [f"process {facts['process']} on {facts['host']}, since {facts['since']}"]
    if facts["process"] is None:
        parts = ["another process"]
    parts += [str(facts[key]) for key in ("engine", "job", "device") if facts[key] is not None]
    if facts["stage"] is not None:
        parts.append(f"{facts['stage']} {facts['done']}/{facts['total']}")
    if facts["seconds_left"] is not None:
        parts.append(f"about {duration(facts['seconds_left'])} left")
    return ", ".join([*parts, f"last sign of life {duration(facts['silent'])} ago"])


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


def _state(folder: Path, running: dict[str, Any] | None) -> tuple[str, str]:
    holder = _told(running) if running is not None else ""
    if (folder / store.TRIAL).exists():
        try:
            record = store.read_record(folder / store.TRIAL)
        except InputError as error:
            return "unreadable", str(error)
        protocol = record.get("protocol")
        if not isinstance(protocol, dict):
            return (
                "unreadable",
                f"{folder / store.TRIAL} is not readable: protocol is not an object",
            )
        variant = str(protocol.get("variant", ""))
        imported = "imported" if "imported" in record else ""
        used = f"in use by {holder}" if running is not None else ""
        stale = changed_member(record, folder) if KEY in record else ""
        told = (imported, variant, used, f"stale: {stale}" if stale else "")
        return "finished", ", ".join(part for part in told if part)
    if running is not None:
        return "running", holder
    if (folder / store.FAILED).exists():
        try:
            record = store.read_record(folder / store.FAILED)
        except InputError as error:
            return "unreadable", str(error)
        return str(record.get("status", "failed")), str(record.get("error", ""))
    return "interrupted", "the same `ltbench run` continues it"
