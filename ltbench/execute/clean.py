"""What can be removed from a results folder without losing a result, and, where that is asked for,
results of code that is no longer current. Needs no torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbench.data.cache import cache_root
from ltbench.errors import InputError
from ltbench.execute.other_code import CodeSurvey, survey_code
from ltbench.execute.survey import trial_folders
from ltbench.trial import store
from ltbench.trial.asked_code import Code, read_asked
from ltbench.trial.class_arrays import arrays_path
from ltbench.trial.class_values import values_path

_DERIVED = ("view-logits", "views", "datasets", "figures")
"""Folders of the cache that are made again on demand; downloads and measured speeds are not among them."""
_KEPT = (store.TRIAL, store.LOGITS, store.WEIGHTS)
"""Whatever else is said, these stay, unless the trial is of other code and that was asked for."""
OTHER_CODE = "other code"


@dataclass(frozen=True)
class Leftover:
    """Files or a cache folder that may go. what: ``checkpoint``, ``failed trial``, ``cache`` or
    ``other code``; trial: the folder whose claim must be held while they go; code: which other code.
    """

    what: str
    place: Path
    paths: tuple[Path, ...]
    bytes: int
    trial: Path | None = None
    code: Code | None = None
    results: Path | None = None


@dataclass(frozen=True)
class Cleaned:
    """bytes that went; kept: places that could not go, with the reason."""

    bytes: int
    kept: tuple[tuple[Path, str], ...]


def find_leftovers(
    results: Path, *, cache: bool = True, other_code: bool = False
) -> tuple[list[Leftover], list[str]]:
    """What may go, and notes on what is left alone.

    Of finished trials: checkpoints and other traces of an attempt. Of failed ones: the record of
    the failure, its log and checkpoint. Never a finished record, logits or weights; nothing of a
    trial that is running, that was interrupted (the same ``run`` continues it) or whose record is
    of a later ltbench. Only with ``other_code``: trials and rows whose method or strategy has been
    edited since, so that other code is the current one (:mod:`ltbench.trial.asked_code`); imported models
    stay. Nothing is removed that a link leads to outside of ``results``. Raises :class:`InputError` where
    ``results`` is no folder.
    """
    if results.exists() and not results.is_dir():
        raise InputError(f"results {results} is not a folder")
    found: list[Leftover] = []
    notes: list[str] = []
    running = interrupted = others = 0
    every = trial_folders(results)
    folders = [folder for folder in every if _lies_in(results, folder)]
    if outside := len(every) - len(folders):
        notes.append(f"{outside} trials stay, to which links lead out of {results}")
    code = survey_code(results, folders)
    for folder in folders:
        if store.is_claimed(folder):
            running += 1
            continue
        old = list(_other_code(folder, results, code)) if _is_finished(folder) else []
        others += len(old)
        if other_code:
            found += old
            if any(leftover.place == folder for leftover in old):
                continue  # all of it
        if (folder / store.TRIAL).exists():
            if _is_finished(folder):
                found += _leftover("checkpoint", folder, _attempt(folder))
        elif (folder / store.FAILED).exists():
            found += _leftover("failed trial", folder, _failed(folder))
        else:
            interrupted += 1
    if others and not other_code:
        notes.append(
            f"{others} results of code that is no longer current stay; `--other-code` lists them"
        )
    if interrupted:
        notes.append(
            f"{interrupted} interrupted trials stay: the same `ltbench run` continues them"
        )
    if running:
        notes.append(f"{running} running trials stay, and with them the cache")
    elif cache:
        for name in _DERIVED:
            place = cache_root() / name
            if place.is_dir():
                found += _leftover("cache", place, [place], trial=None)
    return found, notes


def remove(leftovers: Sequence[Leftover]) -> Cleaned:
    """Removes them; each trial's claim is held meanwhile, and what changed since is left alone."""
    gone = 0
    kept: list[tuple[Path, str]] = []
    for leftover in leftovers:
        try:
            if leftover.trial is None:
                _remove(leftover.paths)
            else:
                _remove_from_trial(leftover)
            gone += leftover.bytes
        except store.BusyError:
            kept.append((leftover.place, "it is running now"))
        except _ChangedError as error:
            kept.append((leftover.place, str(error)))
        except OSError as error:
            kept.append((leftover.place, error.strerror or str(error)))
    return Cleaned(gone, tuple(kept))


class _ChangedError(Exception):
    """The trial is not in the state any more in which it was listed."""


def _remove_from_trial(leftover: Leftover) -> None:
    assert leftover.trial is not None
    folder = leftover.trial
    with store.claim(folder):
        finished = (folder / store.TRIAL).exists()
        if leftover.what == "failed trial" and (finished or not (folder / store.FAILED).exists()):
            raise _ChangedError("it was tried again meanwhile")
        if leftover.what == "checkpoint" and not finished:
            raise _ChangedError("it is not finished any more")
        if leftover.code is not None and _is_current(leftover.code, leftover.results):
            raise _ChangedError("its code is the current one again")
        _remove(leftover.paths)
    if leftover.what == "failed trial" or leftover.place == folder:
        _remove_if_empty(folder)


def _is_current(code: Code, results: Path | None) -> bool:
    """Where nothing was noted it stands as it was listed."""
    if results is None:
        return False
    noted = read_asked(results).digests.get((code.kind, code.name), ())
    return noted[-1:] == (code.digest,)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    """Without its claim file, which nobody can hold: there is nothing left to train on here."""
    try:
        with store.claim(folder):
            if [path for path in folder.iterdir() if path.name != store.CLAIM]:
                return
            (folder / store.CLAIM).unlink(missing_ok=True)
            folder.rmdir()
    except (store.BusyError, OSError):
        return  # somebody is there again, or another file is


def _is_finished(folder: Path) -> bool:
    try:
        return store.finished_trial(folder) is not None
    except store.NewerSchemaError:
        return False


def _lies_in(results: Path, folder: Path) -> bool:
    """Whether the trial, its rows and its streams lie below ``results`` itself, whatever links there are."""
    home = results.resolve()
    inside = (folder, folder / "evaluations", folder / "streams")
    return all(place.resolve().is_relative_to(home) for place in inside)


def _other_code(folder: Path, results: Path, survey: CodeSurvey) -> Iterator[Leftover]:
    for coded, code in survey.others(folder):
        paths: tuple[Path, ...] = (coded.path, *_arrays(coded.path))
        if coded.is_trial:
            paths = tuple(sorted(p for p in folder.iterdir() if p.name != store.CLAIM))
        size = sum(map(_size, paths))
        yield Leftover(OTHER_CODE, coded.path, paths, size, folder, code, results)


def _arrays(record: Path) -> Iterator[Path]:
    """The array files of an evaluation go with it."""
    if record.suffix == ".json":
        yield from (path for path in (arrays_path(record), values_path(record)) if path.exists())


def _attempt(folder: Path) -> list[Path]:
    """What only an unfinished training needs."""
    paths = [folder / store.STARTS, folder / store.FAILED]
    return [*paths, *folder.glob("checkpoint.*"), *folder.rglob(".*.tmp")]


def _failed(folder: Path) -> list[Path]:
    return [*_attempt(folder), folder / "failure.log", folder / store.HISTORY]


def _leftover(
    what: str, place: Path, paths: Sequence[Path], trial: Path | str | None = "place"
) -> Iterator[Leftover]:
    present = tuple(p for p in paths if p.exists() and p.name not in _KEPT)
    if present:
        held = place if trial == "place" else None
        yield Leftover(what, place, present, sum(map(_size, present)), held)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
