"""``ltbench list methods``: by family, with experts, own strategy and what training costs."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import Any

import click
import torch
from rich.table import Table

from ltbench.cli.terminal import stdout_console
from ltbench.method import FAMILIES, Method
from ltbench.models.training_cost import parts_of_a_step, training_macs
from ltbench.registry import Plugin, Registries
from ltbench.shift.profiles import exponential_counts

HEADINGS = ("name", "family", "experts", "strategy", "cost", "title", "from")
SHORT = 5
"""The first so many columns are not folded."""
CLASSES, SIZE, BACKBONE = 100, 32, "resnet32"
NOTE = (
    "cost: multiply-accumulates of training relative to ce, not time; ResNet-32, 100\n"
    "classes, 32 x 32 images, convolutions and heads. All passes of a step and those\n"
    "of a teacher count, the training of a parent does not. A post-hoc method has\n"
    "that of the method that is trained."
)

Line = tuple[str, ...]


def print_methods(registries: Registries) -> None:
    """Families in the order of ``FAMILIES``, a plugin's own behind them; broken ones last."""
    registry = registries.methods
    plugins = sorted(registry.plugins.values(), key=lambda plugin: (*_place(plugin), plugin.name))
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    for i, heading in enumerate(HEADINGS):
        right = heading in ("experts", "cost")
        table.add_column(
            heading, overflow="fold", no_wrap=i < SHORT, justify="right" if right else "left"
        )
    for i, (_, group) in enumerate(groupby(plugins, key=_place)):
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


def _place(plugin: Plugin[Method[Any]]) -> tuple[int, str]:
    family = str(plugin.cls.family)
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), family


def _line(plugin: Plugin[Method[Any]], registries: Registries) -> Line:
    cls = plugin.cls
    try:
        experts, cost = _network(plugin, registries)
    except Exception as error:  # someone's own code: the others are listed all the same
        experts, cost = f"{type(error).__name__}", ""
    origin = "ltbench" if plugin.origin.startswith("ltbench.methods.") else plugin.origin
    return plugin.name, str(cls.family), experts, cls.strategy, cost, cls.title, origin


def _network(plugin: Plugin[Method[Any]], registries: Registries) -> tuple[str, str]:
    """Number of experts at the defaults, and the cost of training beside that of ce."""
    build = partial(_build, registries=registries)
    name, hyper = build(plugin.name, {}).training_identity()
    trained, plain = build(name, hyper), build("ce", {})
    request = trained.architecture()
    parent = trained.parent()
    teacher = None
    if parent is not None and parent.role == "teacher":
        teacher = build(parent.method, parent.hyper).architecture()
    mine = training_macs(
        *(BACKBONE, CLASSES, request, trained.phases(), SIZE),
        passes=len(parts_of_a_step(trained)),
        teacher=teacher,
    )
    ce = training_macs(BACKBONE, CLASSES, plain.architecture(), plain.phases(), SIZE)
    return str(request.experts), f"{mine / ce:.2f}"


def _build(name: str, hyper: Any, registries: Registries) -> Method[Any]:
    cls = registries.methods.get(name).cls
    counts = torch.from_numpy(exponential_counts(500, CLASSES, 100))
    return cls(counts, cls.hyper_type.from_mapping(hyper, name))


def _escaped(line: Line) -> list[str]:
    return [cell.replace("[", r"\[") for cell in line]
