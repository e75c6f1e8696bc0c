"""A method or strategy with every resolved value, its source, and its departures."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ltbench.errors import InputError
from ltbench.names import Call, Row
from ltbench.protocol import MethodOverrides, Protocol
from ltbench.registry import Registries
from ltbench.rows import ResolvedRow, resolve_row

_EMPTY = MethodOverrides()


def show_method(row: Row, protocol: Protocol | None, registries: Registries) -> None:
    plugin = registries.methods.get(row.method.name)
    cls = plugin.cls
    click.echo(f"{plugin.name}: {cls.title}")
    click.echo(f"from {plugin.origin}, version {cls.version}, own strategy: {cls.strategy}")
    published = cls.reference.settings if cls.reference is not None else {}
    if cls.reference is not None:
        _show_reference(cls.reference)
    click.echo(_text(cls.__doc__))
    if protocol is None:
        values = cls.hyper_type.from_mapping(row.method.params, plugin.name)
        _print_hyper(values, {}, row.method.params, published)
        click.echo("\n`--protocol NAME` resolves the recipe too")
        return
    resolved = resolve_row(row, protocol, registries)
    click.echo(f"\nunder {protocol.name} {protocol.version}{_variant(protocol)}")
    overrides = protocol.methods.get(plugin.name, _EMPTY)
    _print_hyper(resolved.hyper, overrides.hyper, row.method.params, published)
    _print_recipe(resolved, protocol, registries)


def show_strategy(call: Call, protocol: Protocol | None, registries: Registries) -> None:
    plugin = registries.strategies.get(call.name)
    cls = plugin.cls
    click.echo(f"{plugin.name}: {cls.title}")
    click.echo(f"from {plugin.origin}, version {cls.version}")
    if cls.reference is not None:
        _show_reference(cls.reference)
    click.echo(_text(cls.__doc__))
    needs = ", ".join(sorted(cls.needs)) or "logits only"
    click.echo(f"\nneeds: {needs}; experts: at least {cls.min_experts}")
    base = protocol.strategies.get(plugin.name, {}) if protocol else {}
    values = cls.hyper_type.from_mapping({**base, **call.params}, plugin.name)
    _print_hyper(values, base, call.params, {})


def show_bibtex(name: str, registries: Registries) -> None:
    """The entry of the method or strategy ``name``; raises :class:`InputError` without one."""
    from ltbench.report.cite import entry_of

    known = registries.strategies if name in registries.strategies.plugins else registries.methods
    reference = known.get(name).cls.reference
    if reference is None:
        raise InputError(f"{name!r} names no paper")
    click.echo(entry_of(reference).render(), nl=False)


def _show_reference(reference: Any) -> None:
    click.echo(
        f"{reference.authors}: {reference.title}. {reference.venue} {reference.year}. {reference.url}"
    )


def _print_hyper(values: Any, from_protocol: Any, from_row: Any, published: Any) -> None:
    fields = dataclasses.fields(values)
    if not fields:
        click.echo("no hyper-parameters")
        return
    table = _table("hyper-parameter", "value", "from", "published", "meaning")
    for field in fields:
        source = "default"
        if field.name in from_protocol:
            source = "protocol"
        if field.name in from_row:
            source = "as asked"
        value = getattr(values, field.name)
        table.add_row(
            field.name,
            _plain(value),
            source,
            _published(field.name, value, published),
            field.metadata.get("help", ""),
        )
    Console().print(table)


def _print_recipe(row: ResolvedRow, protocol: Protocol, registries: Registries) -> None:
    """The recipe belongs to whoever does the training: for a post-hoc method, another one."""
    import torch

    counts = torch.ones(protocol.data.used_classes, dtype=torch.int64)
    training = row.build_method(counts).training_identity()[0]
    if training != row.method.name:
        click.echo(f"\nevaluated on the trial of {training}; its recipe:")
    recipe = protocol.recipe_for(training)
    changed = protocol.methods.get(training, _EMPTY).recipe
    reference = registries.methods.get(training).cls.reference
    published = reference.settings if reference is not None else {}
    table = _table("recipe", "value", "from", "published")
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        source = f"protocol, methods.{training}" if field.name in changed else "protocol"
        key = f"recipe.{field.name}"
        table.add_row(field.name, _plain(value), source, _published(key, value, published))
    Console().print(table)
    if reference is None or not published:
        click.echo("published: no settings recorded for this method")
        return
    click.echo(f"published: {reference.settings_source}, for CIFAR-100-LT")
    if protocol.data.source != "cifar100":
        click.echo(f"{protocol.name} is another data set: departures are to be expected")


def _published(key: str, value: Any, published: Any) -> str:
    if key not in published:
        return ""
    same = published[key] == value
    return "same" if same else f"{_plain(published[key])} (departs)"


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _variant(protocol: Protocol) -> str:
    return f" ({protocol.variant})" if protocol.variant else ""


def _text(doc: str | None) -> str:
    import inspect

    return "\n" + inspect.cleandoc(doc or "")


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
