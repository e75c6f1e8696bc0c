"""``ltbench report``: tables and figures from the records of a results folder."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.cli.options import results_option

_EPILOG = """\b
Examples:
  ltbench report
  ltbench report --protocol cifar100-lt --output paper/tables
  ltbench report --results results/published --strict
"""


@click.command(name="report", epilog=_EPILOG, short_help="Make tables and figures from results.")
@results_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the report goes.  [default: <results>/report]",
)
@click.option("--protocol", metavar="NAME", help="Report this protocol only.")
@click.option("--strict", is_flag=True, help="Stop with exit code 2 if any record is unreadable.")
@click.option("--no-figures", is_flag=True, help="Tables only.")
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
    strict: bool,
    no_figures: bool,
    cite: Path | None,
) -> None:
    """Print tables and write them, with figures, as LaTeX, Markdown and CSV.

    Per protocol: accuracy over the test label distributions, many/medium/few-shot classes, single
    experts, partial-class test sets and learned expert weights. Results that differ in protocol
    version, variant, data, precision or evaluation mode are never merged. A sub-folder
    `published` of the results is read only where it is named itself.
    """
    from rich.console import Console

    from ltbench.report.build import build_report

    build_report(
        results,
        output,
        protocol=protocol,
        strict=strict,
        figures=not no_figures,
        console=Console(),
    )
    if cite is not None:
        from ltbench.report.cite import write_bibliography

        missing = write_bibliography(results, cite, protocol)
        click.echo(f"references: {cite}")
        for what in missing:
            click.echo(f"no reference is known for {what}")
