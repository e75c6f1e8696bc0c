"""The folder of a trial: what lies there, who may write, what counts as finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ltbench.errors import InputError
from ltbench.files import read_json, write_json
from ltbench.trial import SCHEMA

TRIAL = "trial.json"
FAILED = "failed.json"
STARTS = "starts.json"
LOGITS = "logits.safetensors"
WEIGHTS = "weights.safetensors"
HISTORY = "history.jsonl"
CHECKPOINT = "checkpoint.safetensors"
CLAIM = ".claim.lock"


class NewerSchemaError(InputError):
    """A record of a later ltbench: it must not be overwritten by this one."""


class BusyError(Exception):
    """Another live process holds the trial."""


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Holds the trial for this process; raises :class:`BusyError` at once where another does.

    The operating system frees the lock with the process, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / CLAIM)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(str(folder)) from None
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Whether a live process holds the trial right now."""
    if not (folder / CLAIM).exists():
        return False
    try:
        with claim(folder):
            return False
    except BusyError:
        return True
    except OSError:  # a folder that only may be read: nobody trains there
        return False


def read_record(path: Path) -> dict[str, Any]:
    """A record of this or an older schema; raises :class:`InputError` with path and reason."""
    record = read_json(path)
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


def count_start(folder: Path) -> int:
    """Counts the starts of an unfinished training; returns how many were cut off before this one."""
    try:
        starts = int(read_json(folder / STARTS)["starts"])
    except (InputError, KeyError, TypeError, ValueError):
        starts = 0
    write_json(folder / STARTS, {"starts": starts + 1})
    return starts


def clear_attempt(folder: Path) -> None:
    """Removes what only an unfinished training needs."""
    for name in (CHECKPOINT, STARTS, FAILED, "failure.log"):
        (folder / name).unlink(missing_ok=True)
    sweep_temporaries(folder)


def sweep_temporaries(folder: Path) -> None:
    """Removes temporary files that a killed writer left; only the holder of the claim may."""
    for stray in folder.rglob(".*.tmp"):
        stray.unlink(missing_ok=True)
