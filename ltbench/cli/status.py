"""``ltbench status``: how the trials in a results folder stand."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ltbench.cli.options import results_option

EPILOG = """\b
Examples:
  ltbench status
  ltbench status --results ~/runs
  ltbench status --watch
  ltbench status --json
"""
_EVERY = 5.0


@click.command(name="status", epilog=EPILOG)
@results_option
@click.option(
    "--watch",
    is_flag=False,
    flag_value=_EVERY,
    type=click.FloatRange(min=0.1),
    metavar="[SECONDS]",
    help=f"Look again every so many seconds ({_EVERY:g}) until Ctrl-C; without a terminal what changed is "
    "printed anew.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one line a change.")
def command(results: Path, watch: float | None, as_json: bool) -> None:
    """Show finished, running, interrupted and failed trials, and what continues them.

    Of a running trial: engine, device, how far it is, the time left by its last epoch, who holds it and
    when that process last gave a sign of life.
    """
    from ltbench.cli.status_shown import print_status, status_facts
    from ltbench.cli.status_watch import watch_status
    from ltbench.execute.survey import survey

    if watch is not None:
        watch_status(results, watch, as_json=as_json)
        return
    trials = survey(results)
    if as_json:
        click.echo(json.dumps(status_facts(trials), indent=1))
    else:
        print_status(trials, results)
