"""The engine that ``--engine NAME`` names, with its settings checked. Only that one is imported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from typing import Any

from ltbench.errors import InputError
from ltbench.execute.engine import EngineSettings
from ltbench.execute.entry import load_entry
from ltbench.execute.user_config import config_path, engine_defaults
from ltbench.installed import entry_points
from ltbench.settings import read

GROUP = "ltbench.engines"
"""Entry points of other packages."""

_OWN = {
    "local": ("ltbench.execute.engines.here", "Local", ""),
    "ray": ("ltbench.execute.engines.ray", "Ray", "ray"),
    "slurm": ("ltbench.execute.engines.slurm", "Slurm", "submitit"),
}
"""Module, class, and the package that an extra of the same name installs."""


def choose_engine(name: str, values: Mapping[str, Any]) -> EngineSettings:
    """name: an engine, or ``NAME=ADDRESS`` for its setting ``address``.

    What ``values`` leave open has the user's defaults (:mod:`ltbench.execute.user_config`). Raises
    :class:`InputError`, one line, for an unknown name or setting, and where the engine lacks what it
    needs.
    """
    name, equals, address = name.partition("=")
    if equals:
        if "address" in values:
            raise InputError(f"the address of engine {name!r} is given twice; give one")
        if not address:
            raise InputError(f"engine '{name}=' lacks its address after the '='")
        values = {**values, "address": address}
    defaults = engine_defaults(_known()).get(name, {})
    if name in _OWN:
        module, kind, package = _OWN[name]
        if package and find_spec(package) is None:
            raise InputError(
                f"engine {name!r} needs {package}, which is not installed; "
                f"pip install 'ltbench[{name}]' installs it"
            )
        found: Any = getattr(importlib.import_module(module), kind)
    else:
        found = _installed(name)
    if defaults:
        read(found, defaults, f"{config_path()}: engine.{name}")  # the message names the file
    settings: EngineSettings = read(found, {**defaults, **values}, f"engine {name}")
    settings.check()
    return settings


def _known() -> list[str]:
    return sorted({*_OWN, *(entry.name for entry in entry_points(group=GROUP))})


def _installed(name: str) -> Any:
    entries: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    found = load_entry("engine", name, entries, _OWN)
    if not is_dataclass(found):
        raise InputError(f"engine {name!r} ({entries[name].value}) is no dataclass of settings")
    return found
