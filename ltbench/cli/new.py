"""``ltbench new``: a working file to start from, with its test."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  ltbench new method poly
  ltbench new strategy my-em --output plugins
  ltbench new protocol digits-hard
"""


@click.command(name="new", epilog=EPILOG)
@click.argument("kind", type=click.Choice(["method", "strategy", "protocol"]))
@click.argument("name")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where the two files go.  [default: here]",
)
def command(kind: str, name: str, output: Path) -> None:
    """Write a method, strategy or protocol that works, and its test, for you to change."""
    import shlex

    from ltbench.scaffold.write import write_plugin

    plugin, test = (shlex.quote(str(path)) for path in write_plugin(kind, name, output))
    click.echo(f"{plugin}: works as it stands; change it")
    click.echo(f"{test}: its test (python -m pytest {test})\n")
    click.echo("Then:")
    click.echo(f"  ltbench check {plugin}")
    tried = {
        "method": f"--methods ce,{name} --protocol digits-lt --plugin {plugin}",
        "strategy": f"--methods ce,ce+{name} --protocol digits-lt --plugin {plugin}",
        "protocol": f"--methods ce --protocol {plugin}",
    }[kind]
    click.echo(f"  ltbench run {tried}")
    click.echo("  ltbench report")
