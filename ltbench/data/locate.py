"""Where the images of a protocol lie: its source, what the user named, and what was downloaded."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ltbench.data.cache import cache_root
from ltbench.data.guard import asked, guarded
from ltbench.data.raw import Found, Report
from ltbench.errors import DataError, InputError, describe
from ltbench.hyper import Hyper
from ltbench.protocol.protocol import DataConfig
from ltbench.registry import load_sources
from ltbench.source import DataSource


@dataclass(frozen=True)
class Place:
    """A source with what is asked of it. code: digest of its plugin, empty for one of ltbench's own."""

    source: DataSource[Any]
    code: str
    config: DataConfig
    options: Hyper
    folder: Path | None

    def find(self) -> Found | None:
        """None only where the images must be downloaded, or made known, first."""
        folder = self.folder
        if folder is None and self._downloads().is_dir():
            folder = self._downloads()
        try:
            found = asked(
                self.source,
                "to find its images",
                lambda: self.source.find(folder, self.config, self.options),
            )
        except OSError as error:
            what = error.filename or folder or f"what source {self.source.name!r} reads"
            raise DataError(f"{what} cannot be read: {error.strerror or error}") from error
        return None if found is None else self._own(guarded(self.source, found))

    def fetch(self, report: Report | None) -> Found:
        """Downloads and finds; what a download left unfinished is never taken for the whole."""
        target = self._downloads()
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".downloading-", dir=target.parent))
        try:
            asked(self.source, "to download", lambda: self.source.download(temporary, report))
            if any(temporary.iterdir()) and not target.exists():
                os.rename(temporary, target)
        except OSError as error:
            raise DataError(
                f"source {self.source.name!r} could not download: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        found = self.find()
        if found is None:
            raise DataError(f"source {self.source.name!r} does not find what it downloaded")
        return found

    def _downloads(self) -> Path:
        # A colon is no part of a folder's name everywhere.
        return cache_root() / "downloads" / self.source.name.replace(":", "-")

    def _own(self, found: Found) -> Found:
        """Decoded images of a plugin belong to its code and options, too: no file tells when those change."""
        if not self.code:
            return found
        own: dict[str, int | str] = {
            "source": self.source.name,
            "code": self.code,
            "size asked for": self.config.image_size,
            "classes asked for": self.config.classes,
        }
        asked_for = {f"option {key}": str(value) for key, value in self.options.to_json().items()}
        return replace(found, options={**found.options, **own, **asked_for})


def resolve(config: DataConfig, plugins: Sequence[str] = ()) -> tuple[DataSource[Any], str, Hyper]:
    """The source of ``config``, the digest of its code and its typed options.

    Raises :class:`InputError` for an unknown or broken source and for unknown or wrong options.
    """
    plugin = load_sources(plugins).get(config.source)
    kind = plugin.cls.hyper_type
    if not (isinstance(kind, type) and issubclass(kind, Hyper)):
        raise InputError(
            f"source {plugin.name!r} ({plugin.origin}): hyper_type must be a class made from ltbench.Hyper"
        )
    options = kind.from_mapping(config.options, "data.options")
    try:
        return plugin.cls(), plugin.digest, options
    except Exception as error:  # a plugin may raise whatever it likes
        raise InputError(
            f"source {plugin.name!r} ({plugin.origin}) cannot be used: {describe(error)}"
        ) from error


def locate(config: DataConfig, data_dir: Path | None, plugins: Sequence[str] = ()) -> Place:
    """What the user named must exist: raises :class:`DataError` where it does not."""
    source, code, options = resolve(config, plugins)
    folder = named_folder(config, data_dir)
    source.check_folder(folder, config)
    return Place(source, code, config, options, folder)


def named_folder(config: DataConfig, data_dir: Path | None) -> Path | None:
    """What the user named, a folder or for some sources a file; None where nothing was."""
    folder = data_dir if data_dir is not None else Path(config.path) if config.path else None
    return folder.expanduser() if folder is not None else None
