"""What a row of several networks is, in a few lines."""

from __future__ import annotations

import click

from ltbench.names import Row, format_call
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Registries
from ltbench.resolve.mixtures import named_ensemble


def show_copies(row: Row) -> None:
    """What ``3*ce`` says beyond ``ce``."""
    n, one = row.copies, format_call(row.method.name, _params(row))
    click.echo(
        f"{n}*{one}: an ensemble of {_networks(n or 1)} of {one}, which differ in their seeds"
    )
    click.echo(
        f"replicate r has the seeds {n} r to {n} r + {(n or 1) - 1}; its experts are those of all its"
        f" networks, and it costs {n} times as much"
    )
    click.echo("each network of it:\n")


def show_mixture(row: Row, protocol: Protocol, registries: Registries) -> None:
    """An ensemble that the protocol names."""
    plugin, _, _ = named_ensemble(row, protocol, registries)
    click.echo(f"ensemble {plugin.cls.title}")
    click.echo(f"under {protocol.name} {protocol.version}, own strategy: {plugin.cls.strategy}")
    click.echo("replicates share no network; `ltbench show` of a member tells its settings")


def _params(row: Row) -> str:
    return ",".join(f"{key}={value}" for key, value in row.method.params.items())


def _networks(n: int) -> str:
    return "one network" if n == 1 else f"{n} networks"
