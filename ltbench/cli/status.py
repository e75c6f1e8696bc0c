"""``ltbench status``: how the trials in a results folder stand."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.cli.options import results_option

EPILOG = """\b
Examples:
  ltbench status
  ltbench status --results ~/runs
"""


@click.command(name="status", epilog=EPILOG)
@results_option
def command(results: Path) -> None:
    """Show finished, running, interrupted and failed trials."""
    from rich.console import Console
    from rich.table import Table

    from ltbench.execute.survey import survey

    trials = survey(results)
    if not trials:
        click.echo(f"no trials in {results}; `ltbench run` makes some")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("protocol", "trial", "seed", "state", "rows", "note"):
        table.add_column(heading, overflow="fold")
    for trial in trials:
        table.add_row(
            trial.protocol,
            trial.training,
            trial.seed,
            trial.state,
            str(trial.rows),
            trial.note.replace("[", r"\["),
        )
    Console().print(table)
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    click.echo(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
