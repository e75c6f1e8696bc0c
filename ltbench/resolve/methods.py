"""A method or a strategy by name, with its parameters: defaults, the protocol's, then those asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ltbench.hyper import Hyper
from ltbench.names import Call
from ltbench.protocol.protocol import MethodOverrides, Protocol
from ltbench.registry import Plugin, Registries
from ltbench.settings import show

if TYPE_CHECKING:
    from ltbench.method import Method


def resolve_method(
    call: Call, protocol: Protocol, registries: Registries
) -> tuple[Plugin[Method[Any]], Hyper, str]:
    """The method, its parameters, and those in which they depart from what is usual here."""
    method = registries.methods.get(call.name)
    base = protocol.methods.get(method.name, MethodOverrides()).hyper
    hyper, params = resolve_hyper(method.cls.hyper_type, base, call)
    return method, hyper, params


def resolve_hyper(kind: type[Hyper], base: Mapping[str, Any], call: Call) -> tuple[Hyper, str]:
    usual = kind.from_mapping(base, call.name)
    hyper = kind.from_mapping({**base, **call.params}, call.name)
    return hyper, departures(hyper, usual)


def departures(hyper: Hyper, usual: Hyper) -> str:
    """``"tau=1,where=loss"``: the parameters in which ``hyper`` departs from ``usual``."""
    before = usual.to_json()
    return ",".join(
        f"{key}={show(value)}" for key, value in hyper.to_json().items() if value != before[key]
    )
