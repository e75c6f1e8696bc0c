"""How trials stand, as a table, as lines and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from ltbench.execute.survey import TrialStatus


def status_facts(trials: Sequence[TrialStatus]) -> dict[str, Any]:
    """What ``--json`` prints: ``trials``, each with the fields of its status, and ``counts`` by state."""
    return {"trials": [vars(trial) for trial in trials], "counts": _counts(trials)}


def print_status(trials: Sequence[TrialStatus], results: Path) -> None:
    """Table, failed evaluations, commands and counts, on stdout."""
    from ltbench.cli.terminal import stdout_console

    if not trials:
        click.echo(f"no trials in {results}; `ltbench run` makes some")
        return
    stdout_console().print(status_table(trials))
    for line in _details(trials, results):
        click.echo(line)
    click.echo(counts_line(trials))


def status_table(trials: Sequence[TrialStatus]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("protocol", "trial", "seed", "state", "rows", "note"):
        table.add_column(heading, no_wrap=heading != "note", overflow="fold")
    for trial in trials:
        rows = str(trial.rows)
        cells = (trial.protocol, trial.training, trial.seed, trial.state, rows, trial.note)
        table.add_row(*map(Text, cells))
    return table


def counts_line(trials: Sequence[TrialStatus]) -> str:
    """``3 finished, 1 running``."""
    return ", ".join(f"{count} {state}" for state, count in _counts(trials).items())


def _counts(trials: Sequence[TrialStatus]) -> dict[str, int]:
    return dict(sorted(Counter(trial.state for trial in trials).items()))


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
