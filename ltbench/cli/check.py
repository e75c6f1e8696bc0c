"""``ltbench check``: whether a plugin of any kind keeps its contract, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ltbench.cli.options import plugin_option

if TYPE_CHECKING:
    from ltbench.contract.check import Finding

EPILOG = """\b
Examples:
  ltbench check poly.py
  ltbench check sade
  ltbench check digits_hard.toml
  ltbench check my_source.py --data-dir photos
"""


@click.command(name="check", epilog=EPILOG)
@click.argument("target", metavar="NAME|FILE")
@plugin_option
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Images of a source that needs a folder."
)
@click.option("--quiet", is_flag=True, help="Tell only what is missing.")
def command(target: str, plugins: tuple[str, ...], data_dir: Path | None, quiet: bool) -> int:
    """Run the contract tests on one plugin and say what is missing.

    MISSING is what would make numbers wrong or a run fail: exit code 1, and `ltbench run` refuses such
    a method or strategy before any training. What is only good to have is told as advice.
    """
    from ltbench.contract.check import by_cause, checks_of

    findings = [check.finding() for check in checks_of(target, plugins, data_dir=data_dir)]
    for plugin in dict.fromkeys(finding.plugin for finding in findings):
        if not quiet:
            click.echo(plugin)
        for told in by_cause(finding for finding in findings if finding.plugin == plugin):
            if told[0].holds:
                if not quiet:
                    click.echo(f"  ok       {told[0].sentence}")
            else:
                _tell(told)
    kept = sum(finding.holds for finding in findings)
    missing = sum(not finding.holds and not finding.advice for finding in findings)
    advice = len(findings) - kept - missing
    parts = [f"{kept} of {len(findings)} properties kept"]
    parts += [f"{missing} missing"] if missing else []
    parts += [f"{advice} to consider"] if advice else []
    click.echo(", ".join(parts))
    if not quiet and not missing and target.endswith(".toml"):
        _tell_how_to_name(Path(target), plugins)
    return 1 if missing else 0


def _tell_how_to_name(file: Path, plugins: tuple[str, ...]) -> None:
    """A file that lies anywhere is no name that ``run`` knows."""
    from ltbench.protocol.registry import find_protocols

    if not find_protocols(plugins).knows(file):
        name = file.stem.replace("_", "-")
        click.echo(f"use: --protocol {file}; the name {name} is known beside --plugin {file} alone")


def _tell(found: Sequence[Finding]) -> None:
    """What does not hold for one and the same reason: the reason once, then whatever it concerns."""
    first = found[0]
    click.echo(f"  {'advice ' if first.advice else 'MISSING'}  {first.sentence}")
    click.echo(f"           {first.told}")
    if len(found) > 1:
        others = ", ".join(finding.name for finding in found[1:])
        click.echo(f"           for the same reason not kept: {others}")
