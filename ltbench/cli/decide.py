"""``ltbench decide``: which row to take at a mix of classes."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.cli.options import results_option

EPILOG = """\b
Examples:
  ltbench decide --mix clinic.csv
  ltbench decide --mix clinic.csv --mix screening.csv --protocol mine.toml
  ltbench decide --mix clinic.csv --results results/published --protocol digits-lt
  ltbench decide --mix clinic.csv --output decision.csv
"""


@click.command(name="decide", epilog=EPILOG, short_help="Rank rows at a mix of classes.")
@click.option(
    "--mix",
    "mixes",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Lines class,count or class,share; may be repeated.",
)
@results_option
@click.option("--protocol", metavar="NAME|FILE.toml", help="Where the results are of several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Also write all rows as CSV.",
)
def command(
    mixes: tuple[Path, ...],
    results: Path,
    protocol: str | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Rank rows at the mix of classes that you will meet, from stored results.

    The accuracy of a row that does not adapt is the recall of each class weighted by its share, exact at
    any mix. Rows that adapt are shown where this mix was evaluated; otherwise the command that does so
    is printed. Nothing is trained, and no setting is chosen.
    """
    import json

    from ltbench.cli.terminal import stdout_console
    from ltbench.errors import InputError
    from ltbench.files import write_text
    from ltbench.protocol.mix import mix_name, read_mix_file
    from ltbench.report.decide import decide
    from ltbench.report.decide_shown import decision_facts, decision_table, decision_values
    from ltbench.report.render.terminal import print_table
    from ltbench.report.render.text import csv_text

    named: dict[str, dict[str, float]] = {}
    for path in mixes:
        name = mix_name(path)
        if name in named:
            raise InputError(f"--mix {path}: a mix called {name!r} is given twice; give one")
        named[name] = read_mix_file(path, "--mix")
    sources = {mix_name(path): str(path) for path in mixes}
    decisions = decide(results, named, protocol, sources)
    if output is not None:
        rows = [values for decision in decisions for values in decision_values(decision)]
        write_text(output, csv_text([list(rows[0]), *(list(row.values()) for row in rows)]))
    if as_json:
        facts = [decision_facts(decision) for decision in decisions]
        click.echo(json.dumps({"decisions": facts}, indent=1, allow_nan=False))
        return
    console = stdout_console()
    for decision in decisions:
        print_table(decision_table(decision), console)
        if decision.commands:
            click.echo("rows that adapt and were not measured at this mix; to measure them:")
            for line in decision.commands:
                click.echo(f"  {line}")
            click.echo()
    if output is not None:
        click.echo(f"written: {output}")
