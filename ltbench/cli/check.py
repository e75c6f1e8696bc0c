"""``ltbench check``: whether a method, strategy or protocol keeps its contract, in plain words."""

from __future__ import annotations

import click

from ltbench.cli.options import plugin_option

EPILOG = """\b
Examples:
  ltbench check focal.py
  ltbench check sade
  ltbench check digits_hard.toml
"""


@click.command(name="check", epilog=EPILOG)
@click.argument("target", metavar="NAME|FILE")
@plugin_option
@click.option("--quiet", is_flag=True, help="Tell only what is missing.")
def command(target: str, plugins: tuple[str, ...], quiet: bool) -> int:
    """Run the contract tests on one plugin and say what is missing.

    Exit code 1 where something must be changed; what is only advisable is told as advice.
    """
    from ltbench.contract.check import checks_of

    missing = advice = done = 0
    plugin = ""
    for check in checks_of(target, plugins):
        finding = check.finding()
        done += 1
        if finding.plugin != plugin and not quiet:
            plugin = finding.plugin
            click.echo(plugin)
        if finding.holds:
            if not quiet:
                click.echo(f"  ok       {finding.sentence}")
            continue
        missing += not finding.advice
        advice += finding.advice
        click.echo(f"  {'advice ' if finding.advice else 'MISSING'}  {finding.sentence}")
        click.echo(f"           {finding.reason}")
    kept = done - missing - advice
    parts = [f"{kept} of {done} properties kept"]
    parts += [f"{missing} missing"] if missing else []
    parts += [f"{advice} to consider"] if advice else []
    click.echo(", ".join(parts))
    return 1 if missing else 0
