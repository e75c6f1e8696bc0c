"""``ltbench status --watch``: the same, until Ctrl-C."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltbench.cli.status_shown import counts_line, print_status, status_facts, status_table

if TYPE_CHECKING:
    from rich.console import Console

    from ltbench.execute.survey import TrialStatus


def watch_status(results: Path, seconds: float, *, as_json: bool) -> None:
    """Live on a terminal; elsewhere, and as JSON, all of it at first and after each change. Ctrl-C is
    its usual end, hence no error."""
    from ltbench.cli.terminal import stdout_console

    console = stdout_console()
    with suppress(KeyboardInterrupt):
        if console.is_terminal and not as_json:
            _live(results, seconds, console)
        else:
            _in_turn(results, seconds, as_json)


def _live(results: Path, seconds: float, console: Console) -> None:
    """The end of the list where the terminal is lower than it: what runs or failed comes last."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from ltbench.execute.survey import survey

    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            trials = survey(results)
            shown = sorted(trials, key=lambda trial: trial.state != "finished")
            told = counts_line(trials) or f"no trials in {results} yet"
            left = max(1, console.height - 4)
            live.update(Group(status_table(shown[-left:]), Text(told)), refresh=True)
            time.sleep(seconds)


def _in_turn(results: Path, seconds: float, as_json: bool) -> None:
    from ltbench.execute.survey import survey

    last: object = None
    while True:
        trials = survey(results)
        if (state := _apart_from_ages(trials)) != last:
            if as_json:
                click.echo(json.dumps(status_facts(trials)))
            else:
                print_status(trials, results)
                click.echo()
            last = state
        time.sleep(seconds)


def _apart_from_ages(trials: Sequence[TrialStatus]) -> object:
    """What makes a change: not that a sign of life is a second older."""
    facts = [{**vars(trial), "note": trial.running is None and trial.note} for trial in trials]
    return [
        {**one, "running": one["running"] and {**one["running"], "silent": None}} for one in facts
    ]
