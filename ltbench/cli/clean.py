"""``ltbench clean``: removes what only takes space."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.cli.options import results_option

EPILOG = """\b
Examples:
  ltbench clean                 (lists, then asks)
  ltbench clean --no-cache --yes
"""


@click.command(name="clean", epilog=EPILOG)
@results_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--cache/--no-cache", default=True, help="Decoded images and view logits too.")
def command(results: Path, yes: bool, cache: bool) -> int:
    """List and, once confirmed, remove checkpoints, failed trials and caches.

    Finished records, logits and weights stay, and so does whatever is running or interrupted.
    Caches are made again when needed; downloaded archives are not touched.
    """
    from ltbench.execute.clean import find_leftovers, remove

    leftovers, notes = find_leftovers(results, cache=cache)
    for leftover in leftovers:
        click.echo(f"{_size(leftover.bytes):>10}  {leftover.what:12}  {leftover.place}")
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


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
