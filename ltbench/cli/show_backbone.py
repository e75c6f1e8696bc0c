"""A backbone: where experts may part, and what networks of it cost."""

from __future__ import annotations

import inspect

import click

from ltbench.backbone import ChosenBackbone
from ltbench.cli.terminal import stdout_console
from ltbench.method import Architecture
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries

_USUAL = ((10, 32), (1000, 224))
"""Classes and pixels a side where no protocol states them: CIFAR-10's and ImageNet's."""
_REQUESTS = (
    ("1", Architecture()),
    ("3", Architecture(3)),
    ("3, reduced", Architecture(3, reduced=True)),
)


def show_backbone(name: str, protocol: Protocol | None, registries: Registries) -> None:
    """With a protocol for its classes and image size."""
    from rich.table import Table

    from ltbench.models.build import network_cost

    plugin = registries.backbones.get(name)
    cls = plugin.cls
    click.echo(f"{name}: {cls.title}")
    click.echo(f"from {plugin.origin}")
    if cls.__doc__:
        click.echo(f"\n{inspect.cleandoc(cls.__doc__)}\n")
    stages = ", ".join(map(str, sorted(cls.shared_stages)))
    usual = f"{stages}; usually {cls.shared_stages[0]}" if stages else "fixed"
    click.echo(f"model.shared, the last stage that experts share: {usual}")
    click.echo(f"takes pretrained weights: {'yes' if cls.takes_weights else 'no'}")
    shared = protocol.model.shared if protocol and protocol.model.backbone == name else None
    chosen = ChosenBackbone.of(cls, shared)
    sizes: tuple[tuple[int, int], ...] = _USUAL
    if protocol is not None:
        sizes = ((protocol.data.used_classes, protocol.data.image_size),)
        click.echo(f"under {protocol.name} {protocol.version}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("classes", "pixels", "experts", "parameters", "MACs of an image"):
        table.add_column(heading, justify="right")
    for classes, pixels in sizes:
        for words, request in _REQUESTS:
            macs, parameters, _ = network_cost(chosen, classes, request, pixels)
            table.add_row(
                f"{classes:,}", str(pixels), words, f"{parameters:,}", f"{macs / 1e6:,.1f} M"
            )
    stdout_console().print(table)
