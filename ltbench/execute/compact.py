"""Finished records made light, as :mod:`ltbench.trial.light` stores them: no number shown changes.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ltbench.errors import InputError
from ltbench.execute.clean import Cleaned
from ltbench.execute.survey import trial_folders
from ltbench.report.records.read import read_records
from ltbench.trial import store
from ltbench.trial.checked import checked_text, write_checked
from ltbench.trial.light import light, light_text

_FOLDERS = ("evaluations", "streams")


@dataclass(frozen=True)
class Heavy:
    """Records of one trial that get lighter, and by how many bytes."""

    trial: Path
    paths: tuple[Path, ...]
    bytes: int


def find_heavy(results: Path) -> tuple[list[Heavy], list[str]]:
    """What can be rewritten, by trial, and a line for each record that cannot be read.

    What the report refuses is refused here, with its words: damaged records and those of a later
    ltbench stay as they are. Raises :class:`InputError` where ``results`` is no folder.
    """
    if not results.is_dir():
        raise InputError(f"results {results} is not a folder")
    refused = {bad.path: bad.reason for bad in read_records(results).unreadable}
    found = []
    for folder in trial_folders(results):
        if folder in refused or folder / store.TRIAL in refused:
            continue  # nobody vouches for what lies there
        sizes = {path: _saved(path) for path in _records(folder) if path not in refused}
        heavy = {path: saved for path, saved in sizes.items() if saved is not None}
        if heavy:
            found.append(Heavy(folder, tuple(heavy), sum(heavy.values())))
    return found, [f"left as it is: {path}: {reason}" for path, reason in refused.items()]


def make_light(heavy: Sequence[Heavy]) -> Cleaned:
    """Rewrites them, each file whole or not at all; each trial's claim is held meanwhile.

    What another process wrote since it was listed is read anew.
    """
    gone = 0
    kept: list[tuple[Path, str]] = []
    for trial in heavy:
        try:
            with store.claim(trial.trial):
                for path in trial.paths:
                    gone += _rewrite(path)
        except store.BusyError:
            kept.append((trial.trial, "it is running now"))
        except InputError as error:
            kept.append((trial.trial, str(error)))
        except OSError as error:
            kept.append((trial.trial, error.strerror or str(error)))
    return Cleaned(gone, tuple(kept))


def _records(folder: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        yield from sorted(p for p in (folder / name).glob("*.json") if p.name[0] != ".")


def _saved(path: Path) -> int | None:
    """Bytes; None where the file is light already."""
    before, record = path.read_bytes(), store.read_record(path)
    after = checked_text(light(record), indent=None).encode("utf-8")
    if before in (after, light_text(record).encode("utf-8")):  # one without a checksum is as good
        return None
    return len(before) - len(after)


def _rewrite(path: Path) -> int:
    before = path.stat().st_size
    write_checked(path, light(store.read_record(path)), indent=None)
    return before - path.stat().st_size
