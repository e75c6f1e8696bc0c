"""The user's defaults for engines: a file of the user's own, on which no result depends.

[engine.slurm]          # what --engine-set gives goes before
partition = "gpu"
gpus = 1
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.errors import InputError, nearest
from ltbench.files import read_whole

_LARGEST = 1 << 20  # bytes


def config_path() -> Path:
    """``LTBENCH_CONFIG``, else ``ltbench/config.toml`` in the platform's own folder of settings."""
    if chosen := os.environ.get("LTBENCH_CONFIG"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("APPDATA")
        folder = Path(base) if base else Path.home() / "AppData" / "Roaming"
    else:
        base = os.environ.get("XDG_CONFIG_HOME")
        folder = Path(base) if base else Path.home() / ".config"
    return folder / "ltbench" / "config.toml"


def engine_defaults(known: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Settings by engine; none where there is no file. known: names of engines.

    Raises :class:`InputError`, one line, for a file that cannot be read, for an unknown key or engine,
    and where ``LTBENCH_CONFIG`` names a file that is not there. The settings themselves are checked
    with the engine that is chosen.
    """
    path = config_path()
    try:
        content = tomllib.loads(read_whole(path, _LARGEST).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("LTBENCH_CONFIG"):
            raise InputError(f"LTBENCH_CONFIG names {path}, which is not there") from None
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} is not readable: {reason}") from None
    _check_keys(content, ("engine",), f"{path}")
    tables = _table(content.get("engine", {}), f"{path}: engine")
    _check_keys(tables, known, f"{path}: engine")
    return {name: _table(value, f"{path}: engine.{name}") for name, value in tables.items()}


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a table, not {value!r}")
    return value


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            listed = ", ".join(known)
            raise InputError(f"{where} has no {key!r} (it has: {listed}){nearest(key, known)}")
