"""The folder of a trial: what lies there, who may write, what counts as finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ltbench.errors import InputError, LtbenchError
from ltbench.files import ask_guards, read_json, write_json
from ltbench.trial.checked import read_checked
from ltbench.trial.claim import BusyError as BusyError
from ltbench.trial.claim import ClaimLostError as ClaimLostError
from ltbench.trial.claim import claim as claim
from ltbench.trial.claim_file import CLAIM as CLAIM
from ltbench.trial.standing import holder_of as holder_of
from ltbench.trial.standing import is_claimed as is_claimed
from ltbench.trial.standing import standing as standing
from ltbench.trial.trial import SCHEMA

TRIAL = "trial.json"
FAILED = "failed.json"
STARTS = "starts.json"
LOGITS = "logits.safetensors"
WEIGHTS = "weights.safetensors"
HISTORY = "history.jsonl"
FAILURES = "failures"
CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
"""The one before, of a training whose checkpoints lie within an epoch."""


class NewerSchemaError(InputError):
    """A record of a later ltbench: it must not be overwritten by this one."""


def read_record(path: Path) -> dict[str, Any]:
    """A record of this or an older schema; raises :class:`InputError` with path and reason."""
    record = read_checked(path)
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise InputError(f"{path} is not readable: no record of ltbench")
    if record["schema"] > SCHEMA:
        raise NewerSchemaError(
            f"{path} is not readable: schema {record['schema']} is newer than {SCHEMA}; update ltbench"
        )
    return record


def finished_trial(folder: Path) -> dict[str, Any] | None:
    """The record of a finished training, or None where there is none that can be read.

    Raises :class:`NewerSchemaError` for the record of a later ltbench.
    """
    if not (folder / TRIAL).exists():
        return None
    try:
        record = read_record(folder / TRIAL)
    except NewerSchemaError:
        raise
    except InputError:
        return None
    return record if record.get("status") == "finished" else None


def count_start(folder: Path, command: Sequence[str] = ()) -> int:
    """Counts the starts of an unfinished training; returns how many were cut off before this one.

    command: the words that started it, for whoever wants to continue it.
    """
    try:
        starts = int(read_json(folder / STARTS)["starts"])
    except (InputError, KeyError, TypeError, ValueError):
        starts = 0
    write_json(folder / STARTS, {"starts": starts + 1, "command": list(command)})
    return starts


def recorded_command(folder: Path) -> list[str]:
    """The words that last started an unfinished or failed training; none where nobody wrote them."""
    for name in (STARTS, FAILED):
        try:
            command = read_checked(folder / name)["command"]
        except (InputError, KeyError, TypeError):
            continue
        if isinstance(command, list) and command:
            return [str(word) for word in command]
    return []


def clear_attempt(folder: Path) -> None:
    """Removes what only an unfinished training needs."""
    ask_guards(folder)
    for name in (CHECKPOINT, PREVIOUS, STARTS, FAILED, "failure.log"):
        (folder / name).unlink(missing_ok=True)
    sweep_temporaries(folder)


def tidy(folder: Path) -> None:
    """Removes what somebody left who was killed after the last result of a complete trial.

    Nobody else will: nothing is left to do there. Where the folder is held or read-only, it stays.
    """
    if (folder / CLAIM).exists():
        with suppress(BusyError, LtbenchError, OSError), claim(folder):
            clear_attempt(folder)


def sweep_temporaries(folder: Path) -> None:
    """Removes temporary files that a killed writer left; only the holder of the claim may."""
    for stray in folder.rglob(".*.tmp"):
        stray.unlink(missing_ok=True)


def failure_path(evaluation: Path) -> Path:
    """Where it is remembered that the evaluation or stream of this path failed; no result."""
    return evaluation.parent.parent / FAILURES / evaluation.name


def forget_failure(evaluation: Path) -> None:
    """For an evaluation that is there now."""
    path = failure_path(evaluation)
    if path.exists():
        path.unlink(missing_ok=True)
        with suppress(OSError):  # others are still there
            path.parent.rmdir()


def failed_rows(folder: Path) -> list[dict[str, Any]]:
    """What is remembered of rows that failed on the trial: ``label``, ``error``, ``command``."""
    found = []
    for path in sorted((folder / FAILURES).glob("*.json")):
        with suppress(InputError):
            found.append(read_record(path))
    return found
