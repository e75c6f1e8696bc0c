"""``ltbench status``: how the trials in a results folder stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltbench.cli.options import results_option

if TYPE_CHECKING:
    from ltbench.execute.survey import TrialStatus

EPILOG = """\b
Examples:
  ltbench status
  ltbench status --results ~/runs
"""


@click.command(name="status", epilog=EPILOG)
@results_option
def command(results: Path) -> None:
    """Show finished, running, interrupted and failed trials, and what continues them."""
    from rich.table import Table
    from rich.text import Text

    from ltbench.cli.terminal import stdout_console
    from ltbench.execute.survey import survey

    trials = survey(results)
    if not trials:
        click.echo(f"no trials in {results}; `ltbench run` makes some")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("protocol", "trial", "seed", "state", "rows", "note"):
        table.add_column(heading, no_wrap=heading != "note", overflow="fold")
    for trial in trials:
        cells = (
            trial.protocol,
            trial.training,
            trial.seed,
            trial.state,
            str(trial.rows),
            trial.note,
        )
        table.add_row(*map(Text, cells))
    stdout_console().print(table)
    for line in _details(trials, results):
        click.echo(line)
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state] = counts.get(trial.state, 0) + 1
    click.echo(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))


def _details(trials: Sequence[TrialStatus], results: Path) -> Iterator[str]:
    """Which evaluations failed and why; then each command once, with the trials that it continues."""
    from ltbench.execute.command import shown

    failed = [(trial, line) for trial in trials for line in trial.failed_rows]
    if failed:
        yield "evaluations that failed, on trials that are finished:"
        yield from (f"  {_name(trial)}: {line}" for trial, line in failed)
    commands: dict[tuple[str, ...], list[str]] = {}
    for trial in trials:
        if trial.command:
            commands.setdefault(trial.command, []).append(f"{_name(trial)} ({_why(trial)})")
    for command, names in commands.items():
        yield f"to go on with {', '.join(names)}:"
        yield f"  {shown(command, results)}"


def _name(trial: TrialStatus) -> str:
    return f"{trial.protocol} {trial.training} seed {trial.seed}"


def _why(trial: TrialStatus) -> str:
    return "failed rows" if trial.failed_rows else trial.state
