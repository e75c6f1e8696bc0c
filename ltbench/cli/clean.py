"""``ltbench clean``: removes what only takes space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltbench.cli.options import results_option

if TYPE_CHECKING:
    from ltbench.execute.clean import Leftover

EPILOG = """\b
Examples:
  ltbench clean                 (lists, then asks)
  ltbench clean --no-cache --yes
  ltbench clean --other-code    (also results of edited plugins, as they were before)
  ltbench clean --compact       (removes nothing: rewrites records smaller)
"""


@click.command(name="clean", epilog=EPILOG)
@results_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--cache/--no-cache", default=True, help="Decoded images and view logits too.")
@click.option(
    "--other-code",
    is_flag=True,
    help="Also finished results of a method or strategy whose code has been edited since.",
)
@click.option(
    "--compact",
    is_flag=True,
    help="Instead: make records of older versions light; no number shown changes.",
)
def command(results: Path, yes: bool, cache: bool, other_code: bool, compact: bool) -> int:
    """List and, once confirmed, remove checkpoints, failed trials and caches.

    Finished records, logits and weights stay, and so does whatever is running or interrupted. Only
    --other-code lists results, too: those of code that is not the one asked for last.
    Caches are made again when needed; downloaded archives and measured speeds are not touched.
    --compact removes nothing: it lists and rewrites the records that take more room than they need.
    """
    if compact and other_code:
        raise click.UsageError("--compact removes nothing; give it without --other-code")
    if compact:
        return _compact(results, yes)
    from ltbench.execute.clean import find_leftovers, remove

    leftovers, notes = find_leftovers(results, cache=cache, other_code=other_code)
    for leftover in leftovers:
        click.echo(
            f"{_size(leftover.bytes):>10}  {leftover.what:12}  {leftover.place}{_code(leftover)}"
        )
    for note in notes:
        click.echo(note)
    if not leftovers:
        click.echo("nothing to remove")
        return 0
    total = sum(leftover.bytes for leftover in leftovers)
    if not yes and not click.confirm(f"remove these {len(leftovers)} ({_size(total)})?"):
        click.echo("nothing was removed")
        return 0
    done = remove(leftovers)
    for place, reason in done.kept:
        click.echo(f"kept: {place}: {reason}")
    click.echo(f"{_size(done.bytes)} removed")
    return 1 if done.kept else 0


def _compact(results: Path, yes: bool) -> int:
    from ltbench.execute.compact import find_heavy, make_light

    heavy, refused = find_heavy(results)
    for trial in heavy:
        click.echo(f"{_size(trial.bytes):>10}  {len(trial.paths):3} records  {trial.trial}")
    for line in refused:
        click.echo(line)
    failed = 1 if refused else 0
    if not heavy:
        click.echo("nothing to rewrite")
        return failed
    count, total = sum(len(trial.paths) for trial in heavy), sum(trial.bytes for trial in heavy)
    if not yes and not click.confirm(f"rewrite these {count} records ({_size(total)} less)?"):
        click.echo("nothing was rewritten")
        return failed
    done = make_light(heavy)
    for place, reason in done.kept:
        click.echo(f"kept: {place}: {reason}")
    click.echo(f"{_size(done.bytes)} less")
    return 1 if done.kept else failed


def _code(leftover: Leftover) -> str:
    code = leftover.code
    return f"  ({code.kind} {code.name}, code {code.short})" if code is not None else ""


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
