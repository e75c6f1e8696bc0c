"""What to say of a method that is not known here while trials of it lie in the results."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Sequence
from pathlib import Path

from ltbench.contract.gate import IMPORTED
from ltbench.errors import InputError
from ltbench.names import Row, parse_member
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.rows import ResolvedRow, resolve_row
from ltbench.trial import store
from ltbench.trial.ensemble import FOLDER
from ltbench.trial.ensemble_record import KEY

_OF_IMPORTS = (
    "imported outputs, which are no training: `ltbench evaluate --logits` makes their rows, and they are "
    "members of ensembles with other imports alone (import the networks' logits, too: docs/ensembles.md)"
)


def resolve_with_hint(
    row: Row, protocol: Protocol, registries: Registries, results: Path
) -> ResolvedRow:
    """:func:`resolve_row`; its refusal of an unknown method names the plugin that trained it."""
    try:
        return resolve_row(row, protocol, registries)
    except InputError as error:
        known = registries.methods
        name = row.method.name
        if name in protocol.ensembles:
            raise _about_member(error, protocol.ensembles[name], registries, results) from error
        if name in known.plugins or name in known.broken or name in known.clashes:
            raise
        hint = _hint_from_results(name, results)
        if not hint:
            raise
        raise InputError(f"unknown method {name!r}: {hint}") from error


def _about_member(
    error: InputError, members: Sequence[str], registries: Registries, results: Path
) -> InputError:
    for text in members:
        name = parse_member(text)[1].name
        hint = "" if name in registries.methods.plugins else _hint_from_results(name, results)
        if hint and f"unknown method {name!r}" in str(error):
            told = str(error).partition(f"unknown method {name!r}")[0]
            return InputError(f"{told}unknown method {name!r}: {hint}")
    return error


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
                if training["origin"] == IMPORTED:
                    return f"{path.parent.parent} holds {_OF_IMPORTS}"
                hint = plugin_hint(name, str(training["origin"]))
                return f"trials of it lie in {path.parent.parent}; {hint}"
        except (InputError, KeyError, TypeError):
            continue
    return _hint_at_ensemble(name, results)


def _hint_at_ensemble(name: str, results: Path) -> str:
    """Where records of an ensemble of that name lie: how to name its members again."""
    for path in sorted(results.glob(f"*/{FOLDER}{glob.escape(name)}/*/{store.TRIAL}")):
        try:
            labels = [str(entry["label"]) for entry in store.read_record(path)[KEY]["members"]]
        except (InputError, KeyError, TypeError):
            continue
        again = shlex.quote(f"{name}={','.join(labels)}")
        return f"an ensemble of that name lies in {path.parent.parent}; add --ensemble {again}"
    return ""
