"""``ltbench report``: tables and figures from the records of a results folder."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import click

from ltbench.cli.options import results_option
from ltbench.report.selection import GROUPINGS, Selection

_EPILOG = """\b
Examples:
  ltbench report
  ltbench report --protocol cifar100-lt --output paper/tables
  ltbench report --protocol digits-lt --strict
  ltbench report --results results/published --readme results/published/README.md
  ltbench report --methods 'ce,sade,sade+none' --columns F50,U,B50,Mean --decimals 2
"""


def _plain_list(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


def _row_list(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    """Commas inside brackets belong to a row's parameters."""
    parts = re.split(r",(?![^\[]*\])", value or "")
    return tuple(part.strip() for part in parts if part.strip())


@click.command(name="report", epilog=_EPILOG, short_help="Make tables and figures from results.")
@results_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the report goes.  [default: <results>/report]",
)
@click.option("--protocol", metavar="NAME", help="Report this protocol only.")
@click.option(
    "--methods", callback=_row_list, metavar="LIST", help="Show these rows or methods only."
)
@click.option(
    "--columns",
    callback=_plain_list,
    metavar="LIST",
    help="Show these columns only, as headed: F50,U,B50,Mean.",
)
@click.option("--group-by", type=click.Choice(GROUPINGS), help="Blocks of rows in the tables.")
@click.option("--decimals", type=int, metavar="N", help="Decimals of accuracies.  [default: 1]")
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A jinja2 file of yours, filled with `sections` and their tables.",
)
@click.option("--siunitx", is_flag=True, help="LaTeX tables with S columns of siunitx.")
@click.option(
    "--strict",
    is_flag=True,
    help="Stop with exit code 2 at an unreadable record, at mixed budgets or versions, where a table"
    " mixes GPU and CPU or a row lacks seeds that others have, and where a seed has two results and no"
    " clock tells the later.",
)
@click.option("--no-figures", is_flag=True, help="Tables only.")
@click.option(
    "--readme",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.md",
    help="Also write the main tables of all protocols as one Markdown page; notes/*.md beside it "
    "are put in as they are.",
)
@click.option(
    "--cite",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.bib",
    help="Also write the BibTeX of every method, data set and protocol used.",
)
def command(
    results: Path,
    output: Path | None,
    protocol: str | None,
    methods: tuple[str, ...],
    columns: tuple[str, ...],
    group_by: str | None,
    decimals: int | None,
    template: Path | None,
    siunitx: bool,
    strict: bool,
    no_figures: bool,
    readme: Path | None,
    cite: Path | None,
) -> None:
    """Print tables and write them, with figures, as LaTeX, Markdown, CSV and one HTML page.

    Per protocol: accuracy over the test label distributions with regret to the oracle,
    many/medium/few-shot classes, single experts, partial-class test sets, learned expert weights,
    estimated priors, prediction stability, pairwise differences, published figures and cost; and
    everything as a tidy Parquet file. Results that differ in protocol version, variant, data,
    precision or evaluation mode are never merged. A sub-folder `published` of the results is read
    only where it is named itself.
    """

    from ltbench.cli.terminal import stdout_console
    from ltbench.report.build import build_report

    cited = partial(_cite, results, cite, protocol)
    try:
        build_report(
            results,
            output,
            protocol=protocol,
            strict=strict,
            figures=not no_figures,
            selection=Selection(methods, columns, group_by or "", decimals),
            siunitx=siunitx,
            template=template,
            readme=readme,
            console=stdout_console(),
        )
    except OSError:  # whoever read the tables left: they are written, and so is the rest
        cited()
        raise
    for line in cited():
        click.echo(line)


def _cite(results: Path, cite: Path | None, protocol: str | None) -> list[str]:
    """Writes the references where they are asked for; what to tell of them."""
    if cite is None:
        return []
    from ltbench.report.cite import write_bibliography

    missing = write_bibliography(results, cite, protocol)
    return [f"references: {cite}", *(f"no reference is known for {what}" for what in missing)]
