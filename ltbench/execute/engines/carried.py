"""A trial's folder and its plugins on their way to a machine that shares no folder, and back.

What travels are paths relative to the results folder and the bytes of the files, nothing else.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ltbench.errors import LtbenchError
from ltbench.execute.engine import Message
from ltbench.files import write_bytes
from ltbench.plugins.code_digest import read_code
from ltbench.plugins.local_modules import BesideFile
from ltbench.trial import store

Files = dict[str, bytes]
"""Contents by relative path, with ``/``."""


@dataclass(frozen=True)
class Luggage:
    """files: of the trial and of those it stands on, below the results folder; plugins: by the path
    of each here, its file first, and the modules beside it that it imports."""

    files: Files = field(default_factory=dict)
    plugins: dict[str, Files] = field(default_factory=dict)


def pack(message: Message) -> Luggage:
    """What a job needs that stands in its message as a path. Raises :class:`OSError`."""
    results = Path(message["settings"]["results"])
    files: Files = {}
    for folder in (message["folder"], *message["before"]):
        files |= {_below(Path(folder), results, name): c for name, c in read(Path(folder)).items()}
    return Luggage(files, {path: _plugin(Path(path)) for path in message["settings"]["plugins"]})


def read(folder: Path) -> Files:
    """All files of a trial but its claim and what a killed writer left."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != store.CLAIM and path.suffix != ".tmp"
    }


def write(folder: Path, files: Mapping[str, bytes], before: Iterable[str] = ()) -> None:
    """Puts ``files`` there, the record last, and removes those of ``before`` that are gone since.

    Raises :class:`LtbenchError` for a path that leads out of the folder.
    """
    for name in sorted(files, key=lambda name: name == store.TRIAL):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise LtbenchError(f"a job gave back a file outside of its folder: {name}")
        write_bytes(folder / path, files[name])
    for name in set(before) - set(files):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def unpacked(message: Message, luggage: Luggage) -> Iterator[dict[str, Any]]:
    """The message for a folder of this machine, which lasts as long as the context."""
    settings = message["settings"]
    with tempfile.TemporaryDirectory(prefix="ltbench-") as home:
        for name, content in luggage.files.items():
            write_bytes(Path(home) / name, content, durable=False)
        plugins = [_placed(path, luggage.plugins[path]) for path in settings["plugins"]]
        folder = Path(home) / _below(Path(message["folder"]), Path(settings["results"]))
        yield {
            **message,
            "folder": str(folder),
            "settings": {**settings, "results": home, "plugins": plugins},
        }


def _below(folder: Path, results: Path, name: str = "") -> str:
    return (folder.relative_to(results) / name).as_posix()


def _plugin(file: Path) -> Files:
    """Its digest, which the trial's hash covers, is checked where it arrives."""
    code = read_code(file, BesideFile(file.parent))
    return {
        path.relative_to(file.parent).as_posix(): path.read_bytes()
        for path in code.files
        if path.is_relative_to(file.parent)
    }


def _placed(path: str, files: Files) -> str:
    """Where the plugin lies in this process: at one place for all trials, so it is imported once."""
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    home = Path(_plugins().name) / digest
    for name, content in files.items():
        if not (home / name).exists():
            write_bytes(home / name, content, durable=False)
    return str(home / Path(path).name)


@cache
def _plugins() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ltbench-plugins-")
