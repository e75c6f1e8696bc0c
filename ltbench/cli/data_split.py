"""``ltbench data split``: a table of training and test images, for images that have no test set."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="split")
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--test",
    "share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the test images, of each class.",
)
@click.option(
    "--min-per-class",
    "smallest",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="Test images of each class at least.",
)
@click.option("--group", metavar="COLUMN", help="Of a table: equal values stay on one side.")
@click.option("--file-column", metavar="COLUMN", help="Of a table: the image files.")
@click.option("--label-column", metavar="COLUMN", help="Of a table: their labels.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the draw."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.csv",
    help="Where the table goes.",
)
def split(
    source: Path,
    share: float,
    smallest: int,
    group: str | None,
    file_column: str | None,
    label_column: str | None,
    seed: int,
    output: Path,
) -> None:
    """Draw a test set from images that have none; nothing is copied.

    FOLDER has a folder for each class (FOLDER/<class>/*), or is a table (CSV or Parquet) with the
    columns file and label, or with others that are named or well known (filename, image, path; class,
    target). The table that is written (file,label,split) is read by source = "table". Each class
    gives the same share; identical images are never on both sides.

    \b
    Examples:
      ltbench data split photos -o photos.csv
      ltbench data split scans.csv --group patient --test 0.3 -o split.csv
    """
    from ltbench.data.findings import DataProblems, error_lines, note_lines, shown
    from ltbench.data.split import SplitRule
    from ltbench.data.split_table import draw_table
    from ltbench.errors import DataError, InputError

    if output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{shown(output)} is what is read; choose another name with -o")
    try:
        given = {"file": file_column, "label": label_column, "group": group}
        stated = {role: name for role, name in given.items() if name is not None}
        drawn = draw_table(source, SplitRule(share, smallest, seed), stated, output)
    except DataProblems as problems:
        for line in error_lines(problems.findings):
            click.echo(line)
        raise DataError(f"{shown(source)} cannot be split: see above") from None
    if drawn.columns is not None and (told := drawn.columns.told()):
        click.echo(f"columns taken: {told}")
    click.echo(f"{shown(output)}: images of each class, train and test:")
    for name in drawn.classes:
        counts = drawn.counts
        click.echo(f"  {shown(name)}: {counts[name, 'train']:,}, {counts[name, 'test']:,}")
    if drawn.identical:
        click.echo(f"note: files with one content, kept on one side: {drawn.identical:,}")
    for line in note_lines(drawn.findings.tallies()):
        click.echo(line)
    click.echo(
        f'In [data] of a protocol beside it: source = "table", path = "{shown(output.name)}", '
        f"classes = {len(drawn.classes)}"
    )
    click.echo(f"`ltbench new protocol NAME --table {shown(output)}` writes that protocol")
