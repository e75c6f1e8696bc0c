"""Arguments that several public functions share, in the forms that a notebook gives them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex, TypeAlias

from ltbench.errors import InputError
from ltbench.protocol.seed_list import read_optional_seeds

AnyPath: TypeAlias = str | PathLike[str]
Plugins: TypeAlias = AnyPath | Iterable[AnyPath]
Seeds: TypeAlias = SupportsIndex | Iterable[SupportsIndex] | None
Ensembles: TypeAlias = Mapping[str, str | Iterable[str]]


def plugin_files(plugins: Plugins) -> tuple[str, ...]:
    """One file or several; a single text is one file, not its letters."""
    given = (plugins,) if isinstance(plugins, str | PathLike) else tuple(plugins)
    return tuple(os.fspath(plugin) for plugin in given)


def seed_numbers(seeds: Seeds) -> tuple[int, ...] | None:
    """A count N means seeds 0 to N-1, a list means itself, None the protocol's own.

    Raises :class:`InputError` for anything else.
    """
    return read_optional_seeds(seeds, "seeds")


def listed(values: str | Iterable[str]) -> tuple[str, ...]:
    """``"a, b[c=1,d=2]"`` or ``["a", "b[c=1,d=2]"]`` to its parts."""
    from ltbench.names import split_list

    if isinstance(values, str):
        return tuple(part for part in split_list(values) if part)
    return tuple(values)


def joined(values: str | Iterable[str]) -> str:
    """Rows as one text, as the command line takes them."""
    if isinstance(values, str):
        return values
    rows = tuple(values) if isinstance(values, Iterable) else (values,)
    if not all(isinstance(row, str) for row in rows):
        raise InputError(f"methods = {values!r} must be a text such as 'ce,sade' or a list of them")
    return ",".join(rows)


def ensemble_overrides(ensembles: Ensembles | None) -> dict[str, Any]:
    """``{"plain": ["ce", "sade"]}`` as overrides of a protocol. Raises :class:`InputError`."""
    if ensembles is None:
        return {}
    if not isinstance(ensembles, Mapping):
        raise InputError(
            f"ensembles = {ensembles!r} must be a mapping, as in {{'plain': ['ce', 'ce']}}"
        )
    for name in ensembles:
        if not isinstance(name, str) or "." in name:
            raise InputError(f"ensembles: the name {name!r} must be a text without '.'")
    return {f"ensembles.{name}": members for name, members in ensembles.items()}


def optional_path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"recipe": {"epochs": 5}}`` to ``{"recipe.epochs": 5}``; a mix stays one value, since names of
    classes may have dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and prefix != "test.mixes.":
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
