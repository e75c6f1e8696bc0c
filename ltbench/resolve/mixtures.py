"""From ``3*sade[tau=1]`` or the name of a mixture to the ensemble that it stands for."""

from __future__ import annotations

from typing import Any

from ltbench.errors import InputError
from ltbench.hyper import Hyper
from ltbench.method import Method, NoHyper
from ltbench.names import Row, format_call, parse_member
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Plugin, Registries
from ltbench.resolve.ensembles import Member, ensemble_plugin
from ltbench.resolve.methods import resolve_method


def copies_of(
    copies: int, method: Plugin[Method[Any]], hyper: Hyper, params: str
) -> Plugin[Method[Any]]:
    """``copies`` networks of one method that differ in their seeds."""
    member = Member(method, hyper, format_call(method.name, params))
    name, title = f"{copies}*{method.name}", f"{copies} × {method.cls.title}"
    return ensemble_plugin(name, (member,) * copies, title, of_one_method=True)


def named_ensemble(
    row: Row, protocol: Protocol, registries: Registries
) -> tuple[Plugin[Method[Any]], Hyper, str]:
    """The mixture that ``protocol.ensembles`` lists under the name of the row.

    Members lie in the order of their labels, whatever the order in which they are listed. Raises
    :class:`InputError` where the name is a method's, has parameters, or a member is unknown.
    """
    name = row.method.name
    if name in registries.methods.plugins:
        raise InputError(f"ensemble {name!r} has the name of a method; choose another one")
    if row.method.params:
        raise InputError(f"ensemble {name!r} has no parameters; give them to its members")
    members: list[Member] = []
    for text in protocol.ensembles[name]:
        copies, call = parse_member(text)
        if call.name in protocol.ensembles:
            raise InputError(f"ensemble {name!r}: its member {text!r} is an ensemble; list methods")
        try:
            method, hyper, params = resolve_method(call, protocol, registries)
        except InputError as error:
            raise InputError(f"ensemble {name!r}: member {text!r}: {error}") from None
        label = format_call(method.name, params)
        members += [Member(method, hyper, label)] * copies
    members = sorted(members * (row.copies or 1), key=lambda member: member.label)
    if row.copies is not None:
        name = f"{row.copies}*{name}"
    title = f"{name}: {_listed(members)}"
    plugin = ensemble_plugin(name, tuple(members), title, of_one_method=False)
    return plugin, NoHyper(), ""


def _listed(members: list[Member]) -> str:
    """``"2*ce, balanced-softmax"``."""
    counts: dict[str, int] = {}
    for member in members:
        counts[member.label] = counts.get(member.label, 0) + 1
    return ", ".join(f"{n}*{label}" if n > 1 else label for label, n in counts.items())
