"""Finds plugins: own folders, entry points, ``--plugin FILE``.

A plugin that cannot be imported is kept as broken and stops nobody else; two plugins of one name
are refused with both origins; an unknown name suggests the nearest.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ltbench.errors import InputError, describe, nearest
from ltbench.names import check_name

if TYPE_CHECKING:
    from ltbench.method import Method
    from ltbench.strategy import Strategy

P = TypeVar("P")


class ClashError(InputError):
    """Two plugins of one kind share a name."""


@dataclass(frozen=True)
class Plugin(Generic[P]):
    """A usable plugin: its class, where it comes from, the digest of its file if not ltbench's own."""

    name: str
    cls: type[P]
    origin: str
    digest: str = ""


@dataclass(frozen=True)
class Broken:
    """A plugin that was found and cannot be used."""

    name: str
    origin: str
    reason: str


@dataclass
class Registry(Generic[P]):
    """All plugins of one kind."""

    kind: str
    plugins: dict[str, Plugin[P]] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    clashes: dict[str, str] = field(default_factory=dict)

    def add(self, plugin: Plugin[P]) -> None:
        """Raises :class:`ClashError` where the name is taken, InputError where it is unusable."""
        check_name(plugin.name, f"{self.kind} name from {plugin.origin}:")
        taken = self.plugins.get(plugin.name)
        if taken is not None and taken.cls is not plugin.cls:
            self.clashes[plugin.name] = (
                f"two {self.kind}s are called {plugin.name!r}: {taken.origin} and {plugin.origin}"
            )
            raise ClashError(self.clashes[plugin.name])
        self.plugins[plugin.name] = plugin

    def get(self, name: str) -> Plugin[P]:
        """Raises :class:`InputError` for an unknown, broken or doubled name."""
        if name in self.clashes:  # neither is picked silently
            raise InputError(self.clashes[name])
        if name not in self.plugins and name in self.broken:
            broken = self.broken[name]
            raise InputError(f"{self.kind} {name!r} is broken: {broken.reason} ({broken.origin})")
        if name not in self.plugins:
            known = ", ".join(sorted(self.plugins))
            raise InputError(
                f"unknown {self.kind} {name!r} (known: {known}){nearest(name, self.plugins)}"
            )
        return self.plugins[name]


@dataclass(frozen=True, eq=False)  # one load, one identity
class Registries:
    methods: Registry[Method[Any]]
    strategies: Registry[Strategy[Any]]


def load_registries(plugins: Sequence[str] = ()) -> Registries:
    """Everything that can be found, with the ``--plugin`` files ``plugins``.

    Raises :class:`InputError` where a file named there cannot be used: it was asked for.
    """
    files = (Path(plugin).resolve() for plugin in plugins if not plugin.endswith(".toml"))
    return _load(tuple((str(file), _digest(file) if file.is_file() else "") for file in files))


@lru_cache(maxsize=8)
def _load(files: tuple[tuple[str, str], ...]) -> Registries:
    """``files``: path and digest, so that an edited file is read again."""
    from ltbench.method import Method
    from ltbench.strategy import Strategy

    methods: Registry[Method[Any]] = Registry("method")
    strategies: Registry[Strategy[Any]] = Registry("strategy")
    _scan_folder(methods, "ltbench.methods.train", Method)
    _scan_folder(strategies, "ltbench.methods.adapt", Strategy)
    _scan_entry_points(methods, "ltbench.methods", Method)
    _scan_entry_points(strategies, "ltbench.strategies", Strategy)
    for file, digest in files:
        module = _import_file(Path(file))
        found = 0
        for registry, base in ((methods, Method), (strategies, Strategy)):
            try:
                classes = list(_classes(module, base))
            except TypeError as error:
                raise InputError(f"--plugin {file}: {error}") from error
            for cls in classes:
                registry.add(Plugin(cls.name, cls, file, digest))
                found += 1
        if not found:
            raise InputError(f"--plugin {file} defines no Method and no Strategy with a name")
    return Registries(methods, strategies)


def _scan_folder(registry: Registry[Any], package: str, base: type[Any]) -> None:
    folder = importlib.import_module(package)
    for info in pkgutil.iter_modules(folder.__path__):
        origin = f"{package}.{info.name}"
        try:
            module = importlib.import_module(origin)
            for cls in _classes(module, base):
                registry.add(Plugin(cls.name, cls, origin))
        except Exception as error:  # whatever a plugin raises, it stops nobody else
            name = info.name.replace("_", "-")
            registry.broken[name] = Broken(name, origin, describe(error))


def _scan_entry_points(registry: Registry[Any], group: str, base: type[Any]) -> None:
    for entry in sorted(entry_points(group=group), key=lambda e: (e.name, e.value)):
        origin = entry_origin(entry)
        try:
            loaded = entry.load()
            is_module = isinstance(loaded, ModuleType)
            classes: list[Any] = list(_classes(loaded, base)) if is_module else [loaded]
            for cls in classes:
                _check_class(cls, base)
                file = inspect.getsourcefile(cls)
                digest = _digest(Path(file)) if file else ""
                registry.add(Plugin(cls.name, cls, origin, digest))
        except Exception as error:  # whatever a plugin raises, it stops nobody else
            registry.broken[entry.name] = Broken(entry.name, origin, describe(error))


def entry_origin(entry: EntryPoint) -> str:
    if entry.dist is None:
        return f"entry point {entry.value}"
    return f"{entry.dist.name} {entry.dist.version} ({entry.value})"


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"--plugin {path}: no such file")
    name = "ltbench_plugin_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--plugin {path} must be a .py or a .toml file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise InputError(f"--plugin {path} cannot be imported: {describe(error)}") from error
    return module


def _classes(module: ModuleType, base: type[Any]) -> Iterator[type[Any]]:
    """The usable subclasses of ``base`` that ``module`` itself defines, in the order of the file."""
    for found in list(vars(module).values()):
        if isinstance(found, type) and issubclass(found, base):
            cls: Any = found
            if cls.__module__ == module.__name__ and hasattr(cls, "name"):
                _check_class(cls, base)
                yield cls


def _check_class(cls: Any, base: type[Any]) -> None:
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise TypeError(f"{cls.__name__} does not define {missing}")
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(f"{cls!r} is not a {base.__name__}")
    if not isinstance(getattr(cls, "title", None), str):
        raise TypeError(f"{cls.__name__} does not define title")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
