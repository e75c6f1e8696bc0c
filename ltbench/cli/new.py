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
  ltbench new protocol scans --table scans.csv --group patient
  ltbench new source my-images
  ltbench new backbone my-net
"""


@click.command(name="new", epilog=EPILOG)
@click.argument("kind", type=click.Choice(["method", "strategy", "protocol", "source", "backbone"]))
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
    help="Of a protocol: for the images of a table (CSV, Parquet) with the columns file,label[,split].",
)
@click.option("--file-column", metavar="COLUMN", help="Of the table: the image files.")
@click.option("--label-column", metavar="COLUMN", help="Of the table: their labels.")
@click.option("--split-column", metavar="COLUMN", help="Of the table: train, test or val.")
@click.option(
    "--group",
    metavar="COLUMN",
    help="Of the table: equal values, of a patient say, stay on one side of the drawn test set; a "
    "table that has one already is checked for it.",
)
def command(
    kind: str,
    name: str,
    output: Path,
    method_kind: str | None,
    images: Path | None,
    table: Path | None,
    file_column: str | None,
    label_column: str | None,
    split_column: str | None,
    group: str | None,
) -> None:
    """Write a method, strategy, protocol, source of images or backbone that works, and its test, to change.

    With --images or --table a protocol is written for your own images: classes, groups, ratios and a
    budget for this machine are taken from them. Where they have no test set, a fifth of each class is
    drawn (by `ltbench data split`) and written as a table; nothing is copied.
    """
    import shlex

    from ltbench.data.table_columns import option_of
    from ltbench.errors import InputError
    from ltbench.scaffold.write import write_plugin

    if method_kind is not None and kind != "method":
        raise InputError(f"--kind is for methods, not for a {kind}")
    own = images if images is not None else table
    given = {
        "file": file_column,
        "label": label_column,
        "split": split_column,
        "group": group,
    }
    stated = {role: column for role, column in given.items() if column is not None}
    if stated and table is None:
        role, column = next(iter(stated.items()))
        raise InputError(f"{option_of(role)} {column} needs --table, whose column it is")
    if own is not None:
        if kind != "protocol":
            raise InputError(f"--images and --table are for protocols, not for a {kind}")
        if images is not None and table is not None:
            raise InputError("give --images or --table, not both")
        if images is not None and images.is_file():
            raise InputError(f"{images} is a file; give its folder, or --table {images}")
        if table is not None and table.is_dir():
            raise InputError(f"{table} is a folder; give --images {table}")
        _for_own_images(name, own, output, stated)
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
        "backbone": f"--methods ce --protocol digits-lt --set model.backbone={name} --plugin {plugin}",
    }[kind]
    click.echo(f"  ltbench run {tried}")
    click.echo("  ltbench report")


def _for_own_images(name: str, source: Path, output: Path, stated: dict[str, str]) -> None:
    import shlex

    from ltbench.data.findings import note_lines, shown
    from ltbench.scaffold.write_own import RULE, write_own_protocol

    written = write_own_protocol(name, source, output, stated)
    data = written.data
    if written.columns is not None and (told := written.columns.told()):
        click.echo(f"columns taken: {told}")
    if written.table is not None:
        group = stated.get("group")
        kept = f", with equal values of {group} on one side" if group else ""
        click.echo(
            f"{shown(written.table)}: a test set drawn from images that have none, {RULE.share:.0%} of "
            f"each class and {RULE.smallest} images at least{kept}"
        )
        if written.further:
            click.echo(
                f"  columns that did not count: {', '.join(map(shown, written.further))}; where images of "
                "one value belong on one side (a patient, a camera), remove both files and add --group COLUMN"
            )
        elif not group:
            click.echo(
                "  images of one patient or source belong on one side: a table of the images with a column "
                "for it, and `--table FILE.csv --group COLUMN`, keeps them there"
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
    most = shown(data.classes[int(data.train.argmax())])
    click.echo(
        f"  ltbench decide --mix expected.csv   # lines class,share as you expect them: {most},0.9"
    )
