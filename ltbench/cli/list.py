"""``ltbench list``: what there is, where it comes from, and what is broken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ltbench.cli.options import plugin_option

if TYPE_CHECKING:
    from ltbench.registry import Registry

EPILOG = """\b
Examples:
  ltbench list methods
  ltbench list strategies --plugin my_strategy.py
  ltbench list protocols
  ltbench list sources
  ltbench list backbones
  ltbench list encoders
"""


@click.command(name="list", epilog=EPILOG)
@click.argument(
    "what",
    metavar="WHAT",
    type=click.Choice(["methods", "strategies", "protocols", "sources", "backbones", "encoders"]),
)
@plugin_option
def command(what: str, plugins: tuple[str, ...]) -> None:
    """List what there is: WHAT is methods, strategies, protocols, sources, backbones or encoders.

    Methods stand by family, with their number of experts and what training costs beside ce.
    """
    if what == "protocols":
        _list_protocols(plugins)
        return
    if what == "sources":
        _list_sources(plugins)
        return
    if what == "backbones":
        _list_backbones(plugins)
        return
    if what == "encoders":
        _list_encoders(plugins)
        return
    from ltbench.registry import load_registries

    registries = load_registries(plugins)
    if what == "methods":
        from ltbench.cli.list_methods import print_methods

        print_methods(registries)
        return
    registry: Registry[Any] = registries.strategies
    rows = [
        (plugin.name, plugin.cls.title, plugin.origin)
        for plugin in sorted(registry.plugins.values(), key=lambda plugin: plugin.name)
    ]
    _print([*rows, *_unusable(registry)])


def _unusable(registry: Registry[Any]) -> list[tuple[str, str, str]]:
    broken = [(b.name, f"broken: {b.reason}", b.origin) for b in registry.broken.values()]
    return broken + [(name, f"refused: {reason}", "") for name, reason in registry.clashes.items()]


def _list_sources(plugins: tuple[str, ...]) -> None:
    from ltbench.registry import load_sources

    registry = load_sources(plugins)
    rows = [
        (name, cls.title, cls.licence or "not stated", cls.looks_in(), plugin.origin)
        for name, plugin in sorted(registry.plugins.items())
        for cls in [plugin.cls]
    ]
    rows += [(name, told, "", "", origin) for name, told, origin in _unusable(registry)]
    _print(rows, ("name", "title", "licence of the images", "looks in", "from"))


def _list_backbones(plugins: tuple[str, ...]) -> None:
    from ltbench.registry import load_backbones

    registry = load_backbones(plugins)
    rows = [
        (name, cls.title, ", ".join(map(str, sorted(cls.shared_stages))) or "fixed", plugin.origin)
        for name, plugin in sorted(registry.plugins.items())
        for cls in [plugin.cls]
    ]
    rows += [(name, told, "", origin) for name, told, origin in _unusable(registry)]
    _print(rows, ("name", "title", "model.shared may be", "from"))


def _list_encoders(plugins: tuple[str, ...]) -> None:
    from ltbench.registry import load_encoders

    registry = load_encoders(plugins)
    rows = [
        (
            f"{name}:NAME" if cls.family else name,
            cls.title,
            " or ".join(f"--{taken}" for taken in cls.takes) or "its own",
            f"ltbench[{cls.extra}]" if cls.extra else ", ".join(cls.requires),
            plugin.origin,
        )
        for name, plugin in sorted(registry.plugins.items())
        for cls in [plugin.cls]
    ]
    rows += [(name, told, "", "", origin) for name, told, origin in _unusable(registry)]
    _print(rows, ("name", "title", "weights", "needs", "from"))


def _list_protocols(plugins: tuple[str, ...]) -> None:
    from ltbench.errors import InputError
    from ltbench.protocol.file import load_protocol_config
    from ltbench.protocol.registry import find_protocols

    rows = []
    found = find_protocols(plugins)
    for name, path in sorted(found.files.items()):
        try:
            protocol = load_protocol_config(name, plugins=plugins)
            rows.append((name, f"{protocol.title} (version {protocol.version})", str(path)))
        except InputError as error:
            rows.append((name, f"broken: {error}", str(path)))
    rows += [(b.name, f"broken: {b.reason}", b.origin) for b in found.broken]
    rows += [(name, f"refused: {reason}", "") for name, reason in found.clashes.items()]
    _print(rows)


def _print(
    rows: Iterable[tuple[str, ...]], headings: tuple[str, ...] = ("name", "title", "from")
) -> None:
    from rich.table import Table

    from ltbench.cli.terminal import stdout_console

    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    stdout_console().print(table)
