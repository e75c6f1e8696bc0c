"""Imports a ``--plugin`` file, with the modules beside it, for itself alone.

Each file, and each state of it, has a package of its own name, in which its local modules lie: two
plugins with a ``helpers.py`` each get their own, and an edited helper is read again.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ltbench.errors import InputError, describe
from ltbench.plugins.local_modules import BesideFile, sources

PLUGIN_PACKAGE = "ltbench_plugin_"
"""How the name of the package begins in which a plugin and the modules beside it lie."""


def import_plugin(file: Path, stamp: str) -> ModuleType:
    """The module of ``file``; ``stamp`` changes with any of its files. Raises :class:`InputError`."""
    if not file.is_file():
        raise InputError(f"--plugin {file}: no such file")
    if file.suffix != ".py":
        raise InputError(f"--plugin {file} must be a .py or a .toml file")
    package = _Package(file, stamp)
    try:
        return package.load()
    except BaseException as error:
        package.forget()
        if isinstance(error, KeyboardInterrupt):
            raise
        reason = describe(error).replace(f"{package.name}.", "")
        raise InputError(f"--plugin {file} cannot be imported: {reason}") from error


class _Package(importlib.abc.MetaPathFinder):
    """Finds the local modules of one plugin under ``name``, which nobody else imports."""

    def __init__(self, file: Path, stamp: str) -> None:
        self.name = PLUGIN_PACKAGE + hashlib.sha256(f"{file}\0{stamp}".encode()).hexdigest()[:12]
        self._file = file
        stem = file.stem
        self._main = stem if stem.isidentifier() else "plugin_" + re.sub(r"\W", "_", stem)
        self._modules = BesideFile(file.parent)
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self) -> ModuleType:
        self.forget()
        package = ModuleType(self.name)
        package.__path__ = [str(self._file.parent)]
        sys.modules[self.name] = package
        sys.meta_path.insert(0, self)
        return importlib.import_module(f"{self.name}.{self._main}")

    def forget(self) -> None:
        sys.meta_path[:] = [
            finder
            for finder in sys.meta_path
            if not (isinstance(finder, _Package) and finder.name == self.name)
        ]
        for name in list(sys.modules):
            if name == self.name or name.startswith(f"{self.name}."):
                del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(f"{self.name}."):
            return None
        name = fullname[len(self.name) + 1 :]
        if name == self._main:
            return self._spec(fullname, self._file)
        beside = next((p for p in sources(self._file.parent, name) if p.is_file()), None)
        found = beside or self._modules.find(name)
        if found is not None:
            return self._spec(fullname, found)
        folder = self._file.parent.joinpath(*name.split("."))
        if not folder.is_dir():
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec

    def _spec(self, fullname: str, file: Path) -> importlib.machinery.ModuleSpec | None:
        inside = [str(file.parent)] if file.name == "__init__.py" and file != self._file else None
        return importlib.util.spec_from_file_location(
            fullname,
            file,
            loader=_Loader(fullname, str(file), self._builtins),
            submodule_search_locations=inside,
        )

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """``import`` as the plugin's own modules see it: what is local comes from the package."""
        local = self._modules.absolute(name) if level == 0 else None
        if local is None or local.startswith("ltbench."):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        full = f"{self.name}.{name}"
        if fromlist:
            return builtins.__import__(full, globals, locals, fromlist)
        importlib.import_module(full)
        return sys.modules[f"{self.name}.{name.partition('.')[0]}"]


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the source itself: a cached one may be of an edit in the same second."""

    def __init__(self, fullname: str, path: str, own_builtins: dict[str, Any]) -> None:
        super().__init__(fullname, path)
        self._builtins = own_builtins

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._builtins
        super().exec_module(module)
