"""A method or strategy with every resolved value, its source, and its departures."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
from rich.table import Table

from ltbench.cli.show_ensemble import show_copies
from ltbench.cli.show_published import show_published
from ltbench.cli.terminal import stdout_console
from ltbench.errors import InputError
from ltbench.hyper import asking_values
from ltbench.names import Call, Row
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.values import (
    Setting,
    method_settings,
    recipe_settings,
    strategy_settings,
    training_of,
)


def show_method(row: Row, protocol: Protocol | None, registries: Registries) -> None:
    plugin = registries.methods.get(row.method.name)
    cls = plugin.cls
    if row.copies is not None:
        show_copies(row)
    click.echo(f"{plugin.name}: {cls.title}")
    click.echo(
        f"from {plugin.origin}, version {cls.version}, family: {cls.family}, own strategy: "
        f"{cls.strategy}"
    )
    if cls.reference is not None:
        _show_reference(cls.reference)
    click.echo(_text(cls.__doc__))
    show_published(row.method, protocol, registries)
    if protocol is None:
        _print_settings(method_settings(row.method, None, registries))
        click.echo("\n`--protocol NAME` resolves the recipe too")
        return
    settings = method_settings(row.method, protocol, registries)
    click.echo(f"\nunder {protocol.name} {protocol.version}{_variant(protocol)}")
    _print_settings(settings)
    _print_recipe(row, protocol, registries)


def show_strategy(call: Call, protocol: Protocol | None, registries: Registries) -> None:
    plugin = registries.strategies.get(call.name)
    cls = plugin.cls
    click.echo(f"{plugin.name}: {cls.title}")
    click.echo(f"from {plugin.origin}, version {cls.version}")
    if cls.reference is not None:
        _show_reference(cls.reference)
    click.echo(_text(cls.__doc__))
    needs = ", ".join(sorted(cls.needs)) or "logits only"
    for asked in asking_values(cls.hyper_type):
        needs += f"; with {asked.setting}={asked.value} also {asked.need}"
    most = "" if cls.max_classes is None else f"; classes: at most {cls.max_classes:,}"
    click.echo(f"\nneeds: {needs}; experts: at least {cls.min_experts}{most}")
    _print_settings(strategy_settings(call, protocol, registries))


def show_source(name: str, registries: Registries) -> None:
    plugin = registries.sources.get(name)
    cls = plugin.cls
    click.echo(f"{plugin.name}: {cls.title}")
    click.echo(f"from {plugin.origin}")
    click.echo(f"licence of the images: {cls.licence or 'not stated'}")
    if cls.url:
        click.echo(f"where they come from: {cls.url}")
    click.echo(f"looks in: {cls.looks_in()}")
    if cls.expects:
        click.echo(f"expects, by --data-dir or data.path: {cls.expects}")
    if cls.requires:
        click.echo(f"needs the packages: {', '.join(cls.requires)}")
    click.echo(_text(cls.__doc__))
    fields = dataclasses.fields(cls.hyper_type)
    if not fields:
        click.echo("no [data.options]")
        return
    table = _table("data.options", "default", "meaning")
    for field in fields:
        usual = "must be given" if field.default is dataclasses.MISSING else _plain(field.default)
        table.add_row(field.name, usual, field.metadata.get("help", ""))
    stdout_console().print(table)


def show_encoder(name: str, registries: Registries) -> None:
    plugin = registries.encoders.get(name)
    cls = plugin.cls
    click.echo(f"{f'{name}:NAME' if cls.family else name}: {cls.title}")
    click.echo(f"from {plugin.origin}")
    click.echo(f"licence: {cls.licence or 'not stated'}")
    if cls.url:
        click.echo(f"where its weights come from: {cls.url}")
    click.echo(f"weights: {' or '.join(f'--{taken}' for taken in cls.takes) or 'its own'}")
    click.echo(f"--output: {', '.join(cls.outputs)}")
    if cls.requires:
        extra = f" (pip install 'ltbench[{cls.extra}]')" if cls.extra else ""
        click.echo(f"needs the packages: {', '.join(cls.requires)}{extra}")
    click.echo(_text(cls.__doc__))


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


def _print_settings(settings: list[Setting]) -> None:
    if not settings:
        click.echo("no hyper-parameters")
        return
    table = _table("hyper-parameter", "value", "from", "published", "meaning")
    for found in settings:
        table.add_row(found.key, _plain(found.value), found.source, _published(found), found.help)
    stdout_console().print(table)


def _print_recipe(row: Row, protocol: Protocol, registries: Registries) -> None:
    """The recipe belongs to whoever does the training: for a post-hoc method, another one."""
    training = training_of(row, protocol, registries)
    if training != row.method.name:
        click.echo(f"\nevaluated on the trial of {training}; its recipe:")
    table = _table("recipe", "value", "from", "published")
    for found in recipe_settings(training, protocol, registries):
        name = found.key.removeprefix("recipe.")
        table.add_row(name, _plain(found.value), found.source, _published(found))
    stdout_console().print(table)
    reference = registries.methods.get(training).cls.reference
    if reference is None or not reference.settings:
        click.echo("published: no settings recorded for this method")
        return
    click.echo(f"published: {reference.settings_source}, for CIFAR-100-LT")
    if protocol.data.source != "cifar100":
        click.echo(f"{protocol.name} is another data set: departures are to be expected")


def _published(found: Setting) -> str:
    if not found.is_published:
        return ""
    same = found.published == found.value
    return "same" if same else f"{_plain(found.published)} (departs)"


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
