"""``ltbench list methods``: by family, with experts, own strategy, what training costs and what it needs."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click
from rich.table import Table

from ltbench.cli.terminal import stdout_console
from ltbench.contract.facts import facts, family_place
from ltbench.method import Method
from ltbench.registry import Plugin, Registries

HEADINGS = ("name", "family", "experts", "strategy", "cost", "needs", "title", "from")
SHORT = 5
"""The first so many columns are not folded."""
NOTE = (
    "cost: multiply-accumulates of training relative to ce, not time; ResNet-32, 100\n"
    "classes, 32 x 32 images, convolutions and heads. All passes of a step and those\n"
    "of a teacher count, the training of what comes first does not. A post-hoc method\n"
    "has that of the method that is trained."
)

Line = tuple[str, ...]


def print_methods(registries: Registries) -> None:
    """Families in the order of ``FAMILIES``, a plugin's own behind them; broken ones last."""
    registry = registries.methods
    plugins = sorted(
        registry.plugins.values(), key=lambda plugin: (*family_place(plugin), plugin.name)
    )
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    for i, heading in enumerate(HEADINGS):
        right = heading in ("experts", "cost")
        table.add_column(
            heading, overflow="fold", no_wrap=i < SHORT, justify="right" if right else "left"
        )
    for i, (_, group) in enumerate(groupby(plugins, key=family_place)):
        if i:
            table.add_row()
        for plugin in group:
            table.add_row(*_escaped(_line(plugin, registries)))
    lost = [(b.name, f"broken: {b.reason}", b.origin) for b in registry.broken.values()]
    lost += [(name, f"refused: {reason}", "") for name, reason in registry.clashes.items()]
    for name, reason, origin in lost:
        table.add_row(*_escaped((name, "", "", "", "", reason, origin)))
    stdout_console().print(table)
    click.echo(f"\n{NOTE}")


def _line(plugin: Plugin[Method[Any]], registries: Registries) -> Line:
    cls = plugin.cls
    try:
        found = facts(plugin.name, registries)
        told = (str(found.experts), found.needs, f"{found.cost:.2f}")
    except Exception as error:  # someone's own code: the others are listed all the same
        told = (type(error).__name__, "", "")
    experts, needs, cost = told
    origin = "ltbench" if plugin.origin.startswith("ltbench.methods.") else plugin.origin
    return plugin.name, str(cls.family), experts, cls.strategy, cost, needs, cls.title, origin


def _escaped(line: Line) -> list[str]:
    return [cell.replace("[", r"\[") for cell in line]
