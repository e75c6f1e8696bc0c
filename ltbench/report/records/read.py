"""Finds and reads the records under a results folder; only a missing folder is fatal."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec

from ltbench.data.findings import shown
from ltbench.errors import InputError
from ltbench.report.records.checks import Malformed, Node, readable
from ltbench.report.records.parse import (
    CONDITIONS,
    Conditions,
    parse_conditions,
    parse_evaluation,
    parse_failure,
    parse_trial,
)
from ltbench.report.records.schema import Evaluation, Failure, Trial
from ltbench.report.records.streams import StreamRecord, parse_stream
from ltbench.trial.asked_code import Asked, read_asked
from ltbench.trial.checked import CRC, checked_bytes, read_checked
from ltbench.trial.class_arrays import ArraysFile, arrays_path
from ltbench.trial.class_values import DIGEST, put_back
from ltbench.trial.ensemble_record import KEY, changed_member

SKIPPED = frozenset({"published", "report"})  # not read unless they are the path itself
DEPTH = 3  # <protocol>/<training name>/<seed>-<hash>
Parsed = TypeVar("Parsed")
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Unreadable:
    """A file that is not counted, and why."""

    path: Path
    reason: str

    @property
    def place(self) -> str:
        """The path as any text can hold it."""
        return shown(self.path)


@dataclass(frozen=True)
class Records:
    """Everything found under one results folder, in a fixed order."""

    trials: tuple[Trial, ...]
    failures: tuple[Failure, ...]
    evaluations: tuple[Evaluation, ...]
    unreadable: tuple[Unreadable, ...]
    streams: tuple[StreamRecord, ...] = ()
    asked: Asked = field(default_factory=Asked)
    """Which code was asked for last."""


def read_records(path: Path) -> Records:
    """Reads all trials, failures and evaluations under ``path``.

    Raises :class:`InputError` where ``path`` is missing or no folder. An evaluation counts only
    beside a readable ``trial.json``: that file is written last, so without it the trial is half
    done or damaged.
    """
    if not path.exists():
        raise InputError(f"results folder {path} does not exist; `ltbench run ...` makes one")
    if not path.is_dir():
        raise InputError(f"results folder {path} is a file")
    reader = _Reader()
    with no_collection():
        for folder in reader.trial_folders(path, DEPTH):
            reader.read_trial_folder(folder)
    return Records(
        tuple(reader.trials),
        tuple(reader.failures),
        tuple(reader.evaluations),
        tuple(reader.unreadable),
        tuple(reader.streams),
        read_asked(path),
    )


@contextmanager
def no_collection() -> Iterator[None]:
    """Millions of small objects without cycles: looking for any takes time and finds none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Reader:
    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.failures: list[Failure] = []
        self.evaluations: list[Evaluation] = []
        self.streams: list[StreamRecord] = []
        self.unreadable: list[Unreadable] = []

    def trial_folders(self, folder: Path, depth: int, top: bool = True) -> Iterator[Path]:
        names = self._names(folder)
        if {"trial.json", "failed.json", "evaluations"} & set(names):
            yield folder
        elif depth > 0:
            for name in names:
                if not (name.startswith(".") or (top and name in SKIPPED)):
                    child = folder / name
                    if child.is_dir():
                        yield from self.trial_folders(child, depth - 1, top=False)

    def read_trial_folder(self, folder: Path) -> None:
        names = self._names(folder)
        files = self._json_files(folder / "evaluations") if "evaluations" in names else []
        if "trial.json" not in names:
            if "failed.json" in names:
                self._keep(folder / "failed.json", _read_failure, self.failures)
            if files:
                self._refuse(folder, f"no trial.json; {_evaluations(len(files))} not counted")
            return
        # A failed.json beside a trial.json is the trace of an earlier attempt.
        trial = self._keep(folder / "trial.json", _read_trial, self.trials)
        if trial is None:
            if files:
                last = self.unreadable.pop()
                self._refuse(last.path, f"{last.reason}; {_evaluations(len(files))} not counted")
            return
        for file in files:
            self._keep(file, partial(_read_evaluation, trial=trial), self.evaluations)
        for file in self._json_files(folder / "streams") if "streams" in names else []:
            self._keep(file, partial(_read_stream, trial=trial), self.streams)

    def _json_files(self, inside: Path) -> list[Path]:
        names = self._names(inside)
        return [inside / n for n in names if n.endswith(".json") and not n.startswith(".")]

    def _names(self, folder: Path) -> list[str]:
        try:
            return sorted(child.name for child in folder.iterdir())
        except OSError as error:
            self._refuse(folder, error.strerror or str(error))
            return []

    def _keep(
        self, path: Path, read: Callable[[Path], Parsed], found: list[Parsed]
    ) -> Parsed | None:
        try:
            record = read(path)
        except Malformed as error:
            self._refuse(path, str(error))
        except RecursionError:
            self._refuse(path, "nested too deeply")
        except ValueError as error:  # InputError of read_checked, or a number too long for Python
            reason = str(error).removeprefix(f"{path} is not readable: ")
            empty = path.is_file() and path.stat().st_size == 0
            self._refuse(path, "the file is empty" if empty else reason)
        else:
            found.append(record)
            return record
        return None

    def _refuse(self, path: Path, reason: str) -> None:
        self.unreadable.append(Unreadable(path, readable(" ".join(reason.split()))))


def _read_trial(path: Path) -> Trial:
    """An ensemble counts only while its members are those that it was evaluated on."""
    record = read_checked(path)
    trial = parse_trial(Node(record))
    if KEY in record and (changed := changed_member(record, path.parent)):
        raise Malformed(f"ensemble {trial.training.name} is stale: {changed}")
    return trial


def _read_failure(path: Path) -> Failure:
    return parse_failure(Node(read_checked(path)))


def _read_stream(path: Path, trial: Trial) -> StreamRecord:
    record = parse_stream(Node(read_checked(path)), trial)
    return replace(record, content=_digest(path.read_bytes()))


def _read_evaluation(path: Path, trial: Trial) -> Evaluation:
    """The scores, most of the file, stay text until they are decoded into their own types."""
    try:
        content = checked_bytes(path)
        parts = _PARTS.decode(content)
        parts.pop(CRC, None)
        apart = DIGEST not in parts
        scores = parts.pop("distributions", None) if apart else None
        shared = [_bytes(parts.pop(key, None)) for key in CONDITIONS] if apart else []
        conditions = _conditions(*shared) if apart else None
        root: object = {key: msgspec.json.decode(raw) for key, raw in parts.items()}
    except (OSError, ValueError):  # read_checked or parse_evaluation says what is wrong
        root, scores, conditions, content = read_checked(path), None, None, path.read_bytes()
    if isinstance(root, dict):
        root = put_back(root, path)
    evaluation = parse_evaluation(Node(root), trial, scores, conditions)
    arrays = arrays_path(path)
    if not arrays.exists():
        return replace(evaluation, content=_digest(content))
    file, status = ArraysFile(arrays), arrays.stat()
    known = tuple(replace(one, file=file) for one in evaluation.distributions)
    beside = f" {status.st_size} {status.st_mtime_ns}"  # far larger than the record
    return replace(evaluation, distributions=known, content=_digest(content) + beside)


def _bytes(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)


@lru_cache(maxsize=64)
def _conditions(*parts: bytes | None) -> Conditions:
    """Of the JSON of each of :data:`CONDITIONS`; the same few stand in every record."""
    found = zip(CONDITIONS, parts, strict=True)
    return parse_conditions(
        Node({k: msgspec.json.decode(raw) for k, raw in found if raw is not None})
    )


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _evaluations(n: int) -> str:
    return "its evaluation is" if n == 1 else f"its {n} evaluations are"
