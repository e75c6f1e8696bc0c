"""What another package offers by an entry point: an engine, a tracker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from ltbench.errors import InputError, describe, nearest


def load_entry(kind: str, name: str, entries: Mapping[str, EntryPoint], own: Iterable[str]) -> Any:
    """own: the names that ltbench ships. Raises :class:`InputError`, one line, for an unknown name and
    for one that cannot be imported."""
    if name not in entries:
        known = sorted({*own, *entries})
        raise InputError(
            f"unknown {kind} {name!r} (known: {', '.join(known)}){nearest(name, known)}"
        )
    try:
        return entries[name].load()
    except Exception as error:  # whatever foreign code raises
        raise InputError(f"{kind} {name!r} cannot be imported: {describe(error)}") from error
