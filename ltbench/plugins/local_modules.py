"""Which modules are a plugin's own: those beside it, of its package, or of ltbench's methods.

Names here are absolute dotted names, or start with a dot: ``.helpers`` lies beside a plugin file.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection
from pathlib import Path

_OF_LTBENCH = ("ltbench.methods", "ltbench.labelshift")
"""What a method may be built on and what is no contract: its code is part of the method."""


class LocalModules:
    """The modules of ltbench that count, and those in the folders of ``PYTHONPATH``.

    package: in which the plugin's own relative imports are resolved.
    """

    package = ""

    def absolute(self, name: str) -> str | None:
        """The name of what ``import name`` gets where that is local, else None."""
        top = name.partition(".")[0]
        if top == "ltbench":
            return name if name.startswith(_OF_LTBENCH) else None
        if top in sys.stdlib_module_names:
            return None
        return self._local(name)

    def find(self, name: str) -> Path | None:
        """The source of a local module; None where there is none (a folder, a compiled file)."""
        if name == "ltbench" or name.startswith("ltbench."):
            return _of_ltbench(name)
        return next((f for f in self._places(name) if f.is_file()), None)

    def _local(self, name: str) -> str | None:
        return name if self._on_path(name) else None

    def _places(self, name: str) -> list[Path]:
        folder = self._on_path(name)
        return sources(folder, name) if folder else []

    def _on_path(self, name: str) -> Path | None:
        """The folder of ``PYTHONPATH`` that has it, unless other packages are installed there."""
        top = name.partition(".")[0]
        for text in os.environ.get("PYTHONPATH", "").split(os.pathsep):
            folder = Path(text)
            if text and _is_regular(folder, top) and not _is_install(folder):
                return folder
        return None


class BesideFile(LocalModules):
    """For a plugin file: also the modules in its own folder, before all but the standard library."""

    package = "."

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, str | None] = {}

    def _local(self, name: str) -> str | None:
        top = name.partition(".")[0]
        if top not in self._known:  # it is asked again whenever a function imports
            self._known[top] = self._look(top)
        found = self._known[top]
        return None if found is None else found + name[len(top) :]

    def _look(self, top: str) -> str | None:
        if _is_regular(self.folder, top):
            return f".{top}"
        if self._on_path(top):
            return top
        # A folder without __init__.py counts last, as for Python itself.
        is_folder = top.isidentifier() and (self.folder / top).is_dir()
        return f".{top}" if is_folder and not _is_importable(top) else None

    def _places(self, name: str) -> list[Path]:
        if name.startswith("."):
            return sources(self.folder, name[1:])
        return super()._places(name)


class OfPackage(LocalModules):
    """For a module that is imported by name: also the modules of ``tops``, which lie in ``root``."""

    def __init__(self, module: str, file: Path, tops: Collection[str] = ()) -> None:
        is_package = file.name == "__init__.py"
        self.package = module if is_package else module.rpartition(".")[0]
        self._tops = {module.partition(".")[0], *tops} - {"ltbench"}
        above = module.count(".") + is_package
        self._root = file.parents[min(above, len(file.parents) - 1)]

    def _local(self, name: str) -> str | None:
        return name if name.partition(".")[0] in self._tops else super()._local(name)

    def _places(self, name: str) -> list[Path]:
        if name.partition(".")[0] in self._tops:
            return sources(self._root, name)
        return super()._places(name)


def sources(folder: Path, name: str) -> list[Path]:
    """Where the source of module ``name`` below ``folder`` may lie, in the order of Python."""
    place = folder.joinpath(*name.split("."))
    return [place / "__init__.py", place.with_name(f"{place.name}.py")]


def _of_ltbench(name: str) -> Path | None:
    if not name.startswith(_OF_LTBENCH):
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _is_regular(folder: Path, top: str) -> bool:
    return top.isidentifier() and any(path.is_file() for path in sources(folder, top))


def _is_install(folder: Path) -> bool:
    return "site-packages" in folder.parts or any(folder.glob("*.dist-info"))


def _is_importable(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False
