"""Finds the folder of a trial by path or hash. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from ltbench.errors import InputError
from ltbench.trial import store

_SHORTEST = 4


def locate_trial(
    trial: str | Path, results: Path = Path("results"), *, holding: str = store.TRIAL
) -> Path:
    """The folder of ``trial``: its path, or its hash (or the start of it) below ``results``.

    Trials in ``results/published`` are found too. The same hash is the same trial: of several
    copies one that has the file ``holding`` counts, or else one with a record, and of those the
    user's own before the published one. Raises :class:`InputError` where there is none, or where
    different trials start with the same characters.
    """
    folder = Path(trial)
    if folder.is_dir():
        if any((folder / name).exists() for name in (store.TRIAL, store.FAILED)):
            return folder
        raise InputError(f"{folder} is no trial: it has no {store.TRIAL}")
    text = str(trial)
    if len(text) < _SHORTEST or not text.isalnum():
        raise InputError(
            f"no trial {text!r}: give its folder, or at least {_SHORTEST} characters of its hash"
        )
    patterns = (f"*/*/*-{text}*", f"published/*/*/*-{text}*")
    found = sorted(
        {
            path
            for pattern in patterns
            for path in results.glob(pattern)
            if path.is_dir() and path.name.partition("-")[2].startswith(text)
        }
    )
    if not found:
        raise InputError(f"no trial whose hash starts with {text!r} below {results}")
    if len({path.name for path in found}) > 1:
        listed = ", ".join(map(str, found[:5]))
        raise InputError(f"{text!r} fits {len(found)} trials below {results}: {listed}")
    return min(found, key=lambda path: (*_lacks(path, holding), _is_published(path, results), path))


def _lacks(folder: Path, holding: str) -> tuple[bool, ...]:
    """What is asked for first, then a record of the trial, then one of its failure."""
    return tuple(not (folder / name).exists() for name in (holding, store.TRIAL, store.FAILED))


def _is_published(folder: Path, results: Path) -> bool:
    return folder.relative_to(results).parts[0] == "published"
