"""Finds protocol files: own folder, entry points ``ltbench.protocols``, ``--plugin FILE.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from ltbench.errors import InputError, describe, nearest
from ltbench.installed import entry_points
from ltbench.registry import Broken, ClashError, entry_origin


@dataclass
class ProtocolFiles:
    """Protocol name to file; broken entry points; names that two files claim."""

    files: dict[str, Path] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    clashes: dict[str, str] = field(default_factory=dict)
    _origins: dict[str, str] = field(default_factory=dict)

    def add(self, path: Path, origin: str) -> None:
        """The name is that of the file. Raises :class:`ClashError` where it is taken."""
        name = path.stem.replace("_", "-")
        if name in self.files and self.files[name] != path:
            message = f"two protocols are called {name!r}: {self._origins[name]} and {origin}"
            self.clashes[name] = message
            raise ClashError(message)
        self.files[name], self._origins[name] = path, origin

    def knows(self, path: Path) -> bool:
        """Whether a name stands for this file."""
        return path.resolve() in {file.resolve() for file in self.files.values()}

    def get(self, name: str) -> Path:
        """``my_set`` and ``my-set`` are the same. Raises :class:`InputError` for a name that is unknown
        or claimed twice."""
        if name not in self.files:
            name = name if name.replace("_", "-") not in self.files else name.replace("_", "-")
        if name in self.clashes:  # neither is picked silently
            raise InputError(self.clashes[name])
        if name not in self.files:
            file = Path(f"{name}.toml")
            if file.is_file():
                raise InputError(
                    f"unknown protocol {name!r}, but a file {file} is here: give --protocol {file}, or "
                    f"--plugin {file} beside the name"
                )
            listed = ", ".join(sorted(self.files))
            raise InputError(
                f"unknown protocol {name!r} (known: {listed}){nearest(name, self.files)}"
            )
        return self.files[name]


def find_protocols(plugins: Sequence[str] = ()) -> ProtocolFiles:
    """Every protocol file that can be found.

    An entry point names a module whose folder holds ``*.toml`` files, or a path to one file; one
    that is broken or takes another's name stops nobody else. Raises :class:`InputError` where a
    file of ``plugins`` is missing or takes another's name: it was asked for.
    """
    import ltbench.protocols as own

    found = ProtocolFiles()
    for path in _toml_files(own):
        found.add(path, str(path))
    for entry in sorted(entry_points(group="ltbench.protocols"), key=lambda e: (e.name, e.value)):
        try:
            loaded = entry.load()
            paths = _toml_files(loaded) if isinstance(loaded, ModuleType) else [Path(str(loaded))]
        except Exception as error:  # whatever a plugin raises, it stops nobody else
            found.broken.append(Broken(entry.name, entry_origin(entry), describe(error)))
            continue
        for path in paths:
            try:
                found.add(path, entry_origin(entry))
            except ClashError:
                continue  # told to whoever asks for the name
    for plugin in plugins:
        if plugin.endswith(".toml"):
            if not Path(plugin).is_file():
                raise InputError(f"--plugin {plugin}: no such file")
            found.add(Path(plugin), plugin)
    return found


def _toml_files(module: ModuleType) -> list[Path]:
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    return sorted(path for folder in folders for path in folder.glob("*.toml"))
