"""``ltbench new``: a working file to start from, with its test."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  ltbench new method poly
  ltbench new method my-mix --kind mixing
  ltbench new strategy my-em --output plugins
  ltbench new protocol digits-hard
  ltbench new protocol birds --images photos/birds
  ltbench new source my-images
"""


@click.command(name="new", epilog=EPILOG)
@click.argument("kind", type=click.Choice(["method", "strategy", "protocol", "source"]))
@click.argument("name")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where the files go.  [default: here]",
)
@click.option(
    "--kind",
    "method_kind",
    type=click.Choice(["plain", "mixing", "two-stage", "experts", "contrastive"]),
    help="Of a method: what it changes; plain: the loss.  [default: plain]",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of a protocol: for these images, <class>/* or train/<class>/* and test/<class>/*.",
)
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Of a protocol: for the images of a table with the columns file,label[,split].",
)
def command(
    kind: str,
    name: str,
    output: Path,
    method_kind: str | None,
    images: Path | None,
    table: Path | None,
) -> None:
    """Write a method, strategy, protocol or source of images that works, and its test, for you to change.

    With --images or --table a protocol is written for your own images: classes, groups, ratios and a
    budget for this machine are taken from them. Where they have no test set, a fifth of each class is
    drawn (by `ltbench data split`) and written as a table; nothing is copied.
    """
    import shlex

    from ltbench.errors import InputError
    from ltbench.scaffold.write import write_plugin

    if method_kind is not None and kind != "method":
        raise InputError(f"--kind is for methods, not for a {kind}")
    own = images if images is not None else table
    if own is not None:
        if kind != "protocol":
            raise InputError(f"--images and --table are for protocols, not for a {kind}")
        if images is not None and table is not None:
            raise InputError("give --images or --table, not both")
        if images is not None and images.is_file():
            raise InputError(f"{images} is a file; give its folder, or --table {images}")
        if table is not None and table.is_dir():
            raise InputError(f"{table} is a folder; give --images {table}")
        _for_own_images(name, own, output)
        return
    written = write_plugin(kind, name, output, method_kind=method_kind or "plain")
    plugin, test = (shlex.quote(str(path)) for path in written)
    click.echo(f"{plugin}: works as it stands; change it")
    click.echo(f"{test}: its test (python -m pytest {test})\n")
    click.echo("Then:")
    click.echo(f"  ltbench check {plugin}")
    if kind == "source":
        click.echo(
            f'  # in PROTOCOL.toml: [data] source = "{name}"; its head says how many classes'
        )
    tried = {
        "method": f"--methods ce,{name} --protocol digits-lt --plugin {plugin}",
        "strategy": f"--methods ce,ce+{name} --protocol digits-lt --plugin {plugin}",
        "protocol": f"--methods ce --protocol {plugin}",
        "source": f"--methods ce --protocol PROTOCOL.toml --plugin {plugin}",
    }[kind]
    click.echo(f"  ltbench run {tried}")
    click.echo("  ltbench report")


def _for_own_images(name: str, source: Path, output: Path) -> None:
    import shlex

    from ltbench.data.findings import note_lines, shown
    from ltbench.scaffold.write_own import RULE, write_own_protocol

    written = write_own_protocol(name, source, output)
    data = written.data
    if written.table is not None:
        click.echo(
            f"{shown(written.table)}: a test set drawn from images that have none, {RULE.share:.0%} of "
            f"each class and {RULE.smallest} images at least"
        )
        click.echo(
            "  images of one patient or source belong on one side: `ltbench data split TABLE --group "
            "COLUMN` keeps them there"
        )
    click.echo(
        f"{shown(written.protocol)}: {len(data.classes)} classes of {data.train.min():,} to "
        f"{data.train.max():,} training images; works as it stands; change it"
    )
    for line in note_lines(data.findings.tallies()):
        click.echo(f"  {line}")
    protocol = shlex.quote(shown(written.protocol))
    click.echo("\nThen:")
    click.echo(f"  ltbench data check {protocol}")
    click.echo(f"  ltbench run --methods ce,sade --protocol {protocol}")
    click.echo("  ltbench report")
