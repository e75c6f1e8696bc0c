"""What to say of a method that is not known here while trials of it lie in the results."""

from __future__ import annotations

import glob
import shlex
from pathlib import Path

from ltbench.errors import InputError
from ltbench.names import Row
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.trial import store


def resolve_with_hint(
    row: Row, protocol: Protocol, registries: Registries, results: Path
) -> ResolvedRow:
    """:func:`resolve_row`; its refusal of an unknown method names the plugin that trained it."""
    try:
        return resolve_row(row, protocol, registries)
    except InputError as error:
        known = registries.methods
        name = row.method.name
        if name in known.plugins or name in known.broken or name in known.clashes:
            raise
        hint = _hint_from_results(name, results)
        if not hint:
            raise
        raise InputError(f"unknown method {name!r}: {hint}") from error


def plugin_hint(name: str, origin: str) -> str:
    """How to make the method ``name`` known that ``origin`` defines, a file or a package."""
    if not origin.endswith(".py"):
        return f"it comes from {origin}, which is not installed here"
    there = "" if Path(origin).is_file() else " (not there now: name the file where it lies)"
    return f"add --plugin {shlex.quote(origin)}{there}"


def _hint_from_results(name: str, results: Path) -> str:
    if not name.strip(".") or "/" in name:  # no name of a folder of trials
        return ""
    for path in sorted(results.glob(f"*/{glob.escape(name)}/*/{store.TRIAL}")):
        try:
            training = store.read_record(path)["training"]
            if training["name"] == name:
                hint = plugin_hint(name, str(training["origin"]))
                return f"trials of it lie in {path.parent.parent}; {hint}"
        except (InputError, KeyError, TypeError):
            continue
    return ""
