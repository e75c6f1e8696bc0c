"""Which rows of a request are ensembles of imports; all others are trials of ltbench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ltbench.errors import InputError
from ltbench.execute.request import Request
from ltbench.imported.ensemble import Joint, OnRow, Wanted, prepare_joint
from ltbench.imported.members import is_import
from ltbench.imported.task import PROTOCOL
from ltbench.names import Call, Row, parse_member, parse_rows, split_list
from ltbench.protocol.protocol import read_ensembles
from ltbench.registry import Registries, load_registries


@dataclass(frozen=True)
class SplitRequest:
    """trials: the request without ensembles of imports, None where nothing else was asked for."""

    trials: Request | None
    joint: list[Joint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def score(self, on_row: OnRow = lambda row, top1: None) -> list[str]:
        """Scores the ensembles of imports; the hashes of their trials."""
        for one in self.joint:
            one.score(on_row)
        return [one.trial.hash for one in self.joint]


def split_request(request: Request) -> SplitRequest:
    """Checks the ensembles of imports in ``request``. Raises :class:`InputError` with one line."""
    rows = parse_rows(request.methods)
    free = request.protocol == PROTOCOL
    named = _ensembles(request, free)
    if not free and not any(row.copies or row.method.name in named for row in rows):
        return SplitRequest(request)
    home = PROTOCOL if free else request.load_protocol().name
    members_of = [_members(row, named) for row in rows]
    names = {call.name for members in members_of for call in members}
    if not free and not any(is_import(request.results, home, name) for name in names):
        return SplitRequest(request)  # no plugin is loaded for nothing
    registries = load_registries(request.plugins)
    found: dict[str, Wanted] = {}
    others = []
    for text, row, members in zip(split_list(request.methods), rows, members_of, strict=True):
        if members and all(_is_member(call, request, home, registries) for call in members):
            name = row.method.name if row.copies is None else f"{row.copies}*{row.method.name}"
            before = found[name].strategies if name in found else ()
            ordered = tuple(sorted(call.name for call in members))
            found[name] = Wanted(name, ordered, (*before, row.strategy))
        elif free:
            raise InputError(_no_ensemble(text, members, request, home, registries))
        else:
            others.append(text)
    if not found:
        return SplitRequest(request)
    joint, notes = prepare_joint(list(found.values()), request, registries)
    rest = replace(request, methods=",".join(others)) if others else None
    return SplitRequest(rest, joint, notes)


def _ensembles(request: Request, free: bool) -> Mapping[str, tuple[str, ...]]:
    if not free:
        return request.load_protocol().ensembles
    asked = {
        key.partition(".")[2]: value
        for key, value in request.overrides.items()
        if key.startswith("ensembles.")
    }
    return read_ensembles(asked, "ensembles")


def _members(row: Row, named: Mapping[str, tuple[str, ...]]) -> list[Call]:
    """None at all where the row is no ensemble."""
    if row.method.name in named:
        if row.method.params:
            raise InputError(
                f"ensemble {row.method.name!r} has no parameters; give them to its members"
            )
        parsed = [parse_member(text) for text in named[row.method.name]]
        return [call for copies, call in parsed for _ in range(copies * (row.copies or 1))]
    return [row.method] * (row.copies or 0)


def _is_member(call: Call, request: Request, home: str, registries: Registries) -> bool:
    if call.name in registries.methods.plugins or not is_import(request.results, home, call.name):
        return False
    if call.params:
        raise InputError(f"{call.name} is imported outputs, which have no parameters")
    return True


def _no_ensemble(
    text: str, members: list[Call], request: Request, home: str, registries: Registries
) -> str:
    for call in members:
        if not _is_member(call, request, home, registries):
            return (
                f"{text!r}: its member {call.name!r} is not imported under {request.results / home}; "
                "`ltbench evaluate --logits` imports it"
            )
    return (
        f"{text!r} is no ensemble: rows of the protocol {PROTOCOL!r} are imported by `ltbench evaluate "
        "--logits`, or ensembles of such, as in --ensemble both=mine,theirs"
    )
