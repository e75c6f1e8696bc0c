"""``ltbench diff``: what differs between two trials."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.cli.options import results_option

EPILOG = """\b
Examples:
  ltbench diff 57a15b36b2f5 6f036c813fc6
  ltbench diff results/digits-lt/ce/0-57a15b36b2f5 results/published/digits-lt/ce/0-57a15b36b2f5
"""


@click.command(name="diff", epilog=EPILOG)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@results_option
def command(first: str, second: str, results: Path) -> None:
    """Say what differs between two trials, given by folder or by hash (or its start).

    Identity, recipe, data, model, environment, code version and results are compared; when and how
    long they ran is not.
    """
    from rich.table import Table
    from rich.text import Text

    from ltbench.cli.terminal import stdout_console
    from ltbench.report.diff import compare_trials
    from ltbench.trial.locate import locate_trial

    folders = [locate_trial(trial, results) for trial in (first, second)]
    differences = compare_trials(*folders)
    for letter, folder in zip("AB", folders, strict=True):
        click.echo(f"{letter}: {folder}")
    if not differences:
        click.echo("identical in identity, recipe, data, model, environment and results")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("what", "", "A", "B"):
        table.add_column(heading, overflow="fold")
    section = ""
    for difference in differences:
        shown = "" if difference.section == section else difference.section
        section = difference.section
        cells = (shown, difference.key, difference.first, difference.second)
        table.add_row(*(Text(cell) for cell in cells))
    stdout_console().print(table)
