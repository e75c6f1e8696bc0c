"""Finds plugins: own folders, entry points, ``--plugin FILE``.

A plugin that cannot be imported is kept as broken and stops nobody else; two plugins of one name
are refused with both origins; an unknown name suggests the nearest.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ltbench.errors import InputError, describe, nearest
from ltbench.installed import entry_points
from ltbench.names import check_name, check_source_name
from ltbench.plugins.code_digest import read_code
from ltbench.plugins.file import import_plugin
from ltbench.plugins.local_modules import BesideFile, OfPackage
from ltbench.plugins.shipped import digest_unless_shipped

if TYPE_CHECKING:
    from ltbench.backbone import Backbone
    from ltbench.encoder import Encoder
    from ltbench.method import Method
    from ltbench.source import DataSource
    from ltbench.strategy import Strategy

P = TypeVar("P")
_SOURCE = "data source"


class ClashError(InputError):
    """Two plugins of one kind share a name."""


@dataclass(frozen=True)
class Plugin(Generic[P]):
    """A usable plugin: its class, where it comes from, and the digest of its code.

    digest: empty for the code that ltbench ships; otherwise of the file and the local modules that
    it imports (:mod:`ltbench.plugins.code_digest`). Results of two digests are never averaged.
    """

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
        check = check_source_name if self.kind == _SOURCE else check_name
        check(plugin.name, f"{self.kind} name from {plugin.origin}:")
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
            own = (
                "; `ltbench new source NAME` writes one of 15 lines" if self.kind == _SOURCE else ""
            )
            raise InputError(
                f"unknown {self.kind} {name!r} (known: {known}){nearest(name, self.plugins)}{own}"
            )
        return self.plugins[name]


@dataclass(frozen=True, eq=False)  # one load, one identity
class Registries:
    methods: Registry[Method[Any]]
    strategies: Registry[Strategy[Any]]
    sources: Registry[DataSource[Any]] = field(default_factory=lambda: Registry(_SOURCE))
    backbones: Registry[Backbone] = field(default_factory=lambda: Registry("backbone"))
    encoders: Registry[Encoder] = field(default_factory=lambda: Registry("encoder"))


_LOADING = threading.RLock()
"""A file is imported by one thread, and the others find its classes."""


def load_registries(plugins: Sequence[str] = ()) -> Registries:
    """Everything that can be found, with the ``--plugin`` files ``plugins``.

    Raises :class:`InputError` where a file named there cannot be used: it was asked for.
    """
    with _LOADING:
        return _load(_stamped(plugins))


def load_sources(plugins: Sequence[str] = ()) -> Registry[DataSource[Any]]:
    """The data sources alone, as in :func:`load_registries`: no method is imported, hence no torch."""
    with _LOADING:
        return _load_sources(_stamped(plugins))


def load_backbones(plugins: Sequence[str] = ()) -> Registry[Backbone]:
    """The backbones alone, as in :func:`load_registries`; torch is imported where one is built."""
    with _LOADING:
        return _load_backbones(_stamped(plugins))


def load_encoders(plugins: Sequence[str] = ()) -> Registry[Encoder]:
    """The encoders alone, as in :func:`load_registries`; their libraries are imported where one is loaded."""
    with _LOADING:
        return _load_encoders(_stamped(plugins))


def _stamped(plugins: Sequence[str]) -> tuple[tuple[str, str], ...]:
    files = (Path(plugin).resolve() for plugin in plugins if not plugin.endswith(".toml"))
    return tuple((str(file), _stamp(file)) for file in files)


@lru_cache(maxsize=8)
def _load(files: tuple[tuple[str, str], ...]) -> Registries:
    """``files``: path and stamp, so that an edited file, or one that it imports, is read again."""
    from ltbench.method import Method
    from ltbench.strategy import Strategy

    methods: Registry[Method[Any]] = Registry("method")
    strategies: Registry[Strategy[Any]] = Registry("strategy")
    _scan_folder(methods, "ltbench.methods.train", Method)
    _scan_folder(strategies, "ltbench.methods.adapt", Strategy)
    _scan_entry_points(methods, "ltbench.methods", Method)
    _scan_entry_points(strategies, "ltbench.strategies", Strategy)
    for file, stamp in files:
        _add_file(file, stamp, (methods, Method), (strategies, Strategy))
    others = (_load_sources(files), _load_backbones(files), _load_encoders(files))
    return Registries(methods, strategies, *others)


@lru_cache(maxsize=8)
def _load_sources(files: tuple[tuple[str, str], ...]) -> Registry[DataSource[Any]]:
    from ltbench.source import DataSource

    sources: Registry[DataSource[Any]] = Registry(_SOURCE)
    _scan_folder(sources, "ltbench.data.shipped", DataSource)
    _scan_entry_points(sources, "ltbench.sources", DataSource)
    for file, stamp in files:
        _add_file(file, stamp, (sources, DataSource))
    return sources


@lru_cache(maxsize=8)
def _load_backbones(files: tuple[tuple[str, str], ...]) -> Registry[Backbone]:
    from ltbench.backbone import Backbone

    backbones: Registry[Backbone] = Registry("backbone")
    _scan_folder(backbones, "ltbench.models.shipped", Backbone)
    _scan_entry_points(backbones, "ltbench.backbones", Backbone)
    for file, stamp in files:
        _add_file(file, stamp, (backbones, Backbone))
    return backbones


@lru_cache(maxsize=8)
def _load_encoders(files: tuple[tuple[str, str], ...]) -> Registry[Encoder]:
    from ltbench.encoder import Encoder

    encoders: Registry[Encoder] = Registry("encoder")
    _scan_folder(encoders, "ltbench.encoders.shipped", Encoder)
    _scan_entry_points(encoders, "ltbench.encoders", Encoder)
    for file, stamp in files:
        _add_file(file, stamp, (encoders, Encoder))
    return encoders


def _add_file(file: str, stamp: str, *kinds: tuple[Registry[Any], type[Any]]) -> None:
    """What of ``kinds`` a --plugin file defines. A file without a plugin of any kind is a mistake."""
    module = _import(file, stamp)
    digest = read_code(Path(file), BesideFile(Path(file).parent)).digest
    try:
        for registry, base in kinds:
            for cls in list(_classes(module, base)):
                registry.add(Plugin(cls.name, cls, file, digest))
        if not any(list(_classes(module, base)) for base in _bases()):
            raise InputError(
                f"--plugin {file} defines no Method, no Strategy, no DataSource, no Backbone and "
                "no Encoder with a name"
            )
    except TypeError as error:
        raise InputError(f"--plugin {file}: {error}") from error


def _bases() -> tuple[type[Any], ...]:
    from ltbench.backbone import Backbone
    from ltbench.encoder import Encoder
    from ltbench.method import Method
    from ltbench.source import DataSource
    from ltbench.strategy import Strategy

    return Method, Strategy, DataSource, Backbone, Encoder


@lru_cache(maxsize=32)
def _import(file: str, stamp: str) -> ModuleType:
    """Once for methods, strategies and sources of one file: a second import would be other classes."""
    return import_plugin(Path(file), stamp)


def _scan_folder(registry: Registry[Any], package: str, base: type[Any]) -> None:
    folder = importlib.import_module(package)
    for info in pkgutil.iter_modules(folder.__path__):
        origin = f"{package}.{info.name}"
        try:
            module = importlib.import_module(origin)
            for cls in _classes(module, base):
                # Nothing hashes the code of a source: what it reads decides; nor that of a shipped backbone.
                version = getattr(cls, "version", None)
                digest = (
                    digest_unless_shipped(registry.kind, cls.name, version, module)
                    if version is not None
                    else ""
                )
                registry.add(Plugin(cls.name, cls, origin, digest))
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
                registry.add(Plugin(cls.name, cls, origin, _entry_digest(cls, entry)))
        except Exception as error:  # whatever a plugin raises, it stops nobody else
            registry.broken[entry.name] = Broken(entry.name, origin, describe(error))


def entry_origin(entry: EntryPoint) -> str:
    if entry.dist is None:
        return f"entry point {entry.value}"
    return f"{entry.dist.name} {entry.dist.version} ({entry.value})"


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
    if hasattr(base, "objective") and all(
        getattr(cls, name) == getattr(base, name) for name in ("loss", "objective", "finish")
    ):
        raise TypeError(f"{cls.__name__} does not define loss")
    if not isinstance(getattr(cls, "title", None), str):
        raise TypeError(f"{cls.__name__} does not define title")


def _entry_digest(cls: type[Any], entry: EntryPoint) -> str:
    """Of the class's module and what it imports from its own distribution."""
    file = inspect.getsourcefile(cls) or inspect.getfile(cls)
    installed = (entry.dist.files if entry.dist is not None else None) or []
    tops = {path.parts[0].removesuffix(".py") for path in installed if path.suffix == ".py"}
    return read_code(Path(file), OfPackage(cls.__module__, Path(file), tops)).digest


def _stamp(file: Path) -> str:
    return read_code(file, BesideFile(file.parent)).stamp if file.is_file() else ""
