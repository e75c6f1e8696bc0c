"""Every resolved value of a method, a strategy or a recipe: where it comes from, what was published."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from typing import Any

from ltbench.method import Reference
from ltbench.names import Call, Row
from ltbench.protocol.protocol import MethodOverrides, Protocol
from ltbench.registry import Registries
from ltbench.resolve.rows import resolve_row

_EMPTY = MethodOverrides()


@dataclasses.dataclass(frozen=True)
class Setting:
    """source: ``default``, ``protocol``, ``protocol, methods.<name>`` or ``as asked``; published: the
    value of the method's own paper or code, where :attr:`is_published`."""

    key: str
    value: Any
    source: str
    is_published: bool
    published: Any
    help: str


def method_settings(call: Call, protocol: Protocol | None, registries: Registries) -> list[Setting]:
    """Hyper-parameters of a method as asked for, under ``protocol`` or with the method's defaults."""
    cls = registries.methods.get(call.name).cls
    if protocol is None:
        values, base = cls.hyper_type.from_mapping(call.params, call.name), {}
    else:
        values = resolve_row(Row(call, None), protocol, registries).hyper
        base = protocol.methods.get(call.name, _EMPTY).hyper
    return _hyper(values, base, call.params, _published(cls.reference))


def strategy_settings(
    call: Call, protocol: Protocol | None, registries: Registries
) -> list[Setting]:
    """Parameters of a strategy as asked for, under ``protocol`` or with its defaults."""
    cls = registries.strategies.get(call.name).cls
    base = protocol.strategies.get(call.name, {}) if protocol else {}
    values = cls.hyper_type.from_mapping({**base, **call.params}, call.name)
    return _hyper(values, base, call.params, {})


def training_of(row: Row, protocol: Protocol, registries: Registries) -> str:
    """Which method does the training: for a post-hoc method, another one."""
    import torch

    counts = torch.ones(protocol.data.used_classes, dtype=torch.int64)
    resolved = resolve_row(row, protocol, registries)
    return resolved.build_method(counts).training_identity()[0]


def recipe_settings(training: str, protocol: Protocol, registries: Registries) -> list[Setting]:
    """The recipe of ``training``; keys start with ``recipe.``."""
    recipe = protocol.recipe_for(training)
    changed = protocol.methods.get(training, _EMPTY).recipe
    published = _published(registries.methods.get(training).cls.reference)
    return [
        _setting(
            f"recipe.{field.name}",
            getattr(recipe, field.name),
            f"protocol, methods.{training}" if field.name in changed else "protocol",
            published,
            field,
        )
        for field in dataclasses.fields(recipe)
    ]


def _published(reference: Reference | None) -> Mapping[str, Any]:
    return reference.settings if reference is not None else {}


def _hyper(
    values: Any,
    from_protocol: Container[str],
    from_row: Container[str],
    published: Mapping[str, Any],
) -> list[Setting]:
    found = []
    for field in dataclasses.fields(values):
        source = "protocol" if field.name in from_protocol else "default"
        source = "as asked" if field.name in from_row else source
        found.append(_setting(field.name, getattr(values, field.name), source, published, field))
    return found


def _setting(
    key: str, value: Any, source: str, published: Mapping[str, Any], field: dataclasses.Field[Any]
) -> Setting:
    return Setting(
        key, value, source, key in published, published.get(key), field.metadata.get("help", "")
    )
