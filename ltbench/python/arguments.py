"""Arguments that several public functions share, in the forms that a notebook gives them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex, TypeAlias

from ltbench.errors import InputError

AnyPath: TypeAlias = str | PathLike[str]
Plugins: TypeAlias = AnyPath | Iterable[AnyPath]
Seeds: TypeAlias = SupportsIndex | Iterable[SupportsIndex] | None


def plugin_files(plugins: Plugins) -> tuple[str, ...]:
    """One file or several; a single text is one file, not its letters."""
    given = (plugins,) if isinstance(plugins, str | PathLike) else tuple(plugins)
    return tuple(os.fspath(plugin) for plugin in given)


def seed_numbers(seeds: Seeds) -> tuple[int, ...] | None:
    """A count N means seeds 0 to N-1, a list means itself, None the protocol's own.

    Raises :class:`InputError` for what is no whole number.
    """
    if seeds is None:
        return None
    try:
        if isinstance(seeds, bool):
            raise TypeError
        if isinstance(seeds, Iterable):
            return tuple(index(seed) for seed in seeds)
        return tuple(range(index(seeds)))
    except TypeError:
        raise InputError(
            f"seeds = {seeds!r} must be a count, as in 5 (seeds 0 to 4), or a list, as in [0, 3]"
        ) from None


def listed(values: str | Iterable[str]) -> tuple[str, ...]:
    """``"a, b[c=1,d=2]"`` or ``["a", "b[c=1,d=2]"]`` to its parts."""
    from ltbench.names import split_list

    if isinstance(values, str):
        return tuple(part for part in split_list(values) if part)
    return tuple(values)


def joined(values: str | Iterable[str]) -> str:
    """Rows as one text, as the command line takes them."""
    return values if isinstance(values, str) else ",".join(values)


def optional_path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"recipe": {"epochs": 5}}`` to ``{"recipe.epochs": 5}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
