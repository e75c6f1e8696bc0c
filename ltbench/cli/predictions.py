"""``ltbench predictions``: what a row predicts for single test images."""

from __future__ import annotations

from pathlib import Path

import click

from ltbench.cli.options import (
    ensemble_options,
    overrides,
    plugin_option,
    protocol_options,
    results_option,
)

EPILOG = """\b
Examples:
  ltbench predictions ce --protocol digits-lt -o ce.csv
  ltbench predictions sade --protocol digits-lt --distribution backward20 -o sade.parquet
  ltbench predictions mine --protocol imported -o mine.csv
"""


@click.command(name="predictions", epilog=EPILOG)
@click.argument("row", metavar="ROW")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where they go: a .csv or a .parquet file.",
)
@protocol_options
@click.option("--seed", type=int, default=0, show_default=True, help="Of which training.")
@click.option(
    "--distribution",
    metavar="NAME",
    help="Images of this test set alone. [default: the whole pool; for a row that adapts, uniform]",
)
@click.option("--draw", type=int, default=0, show_default=True, help="Which draw of the test set.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder that holds the images; only read, never downloaded into.",
)
@ensemble_options
@results_option
@plugin_option
def command(
    row: str,
    output: Path,
    protocol: str,
    imbalance: str | None,
    test_ratios: str | None,
    sets: tuple[str, ...],
    seed: int,
    distribution: str | None,
    draw: int,
    data_dir: Path | None,
    ensembles: tuple[str, ...],
    mixed_recipe: bool,
    results: Path,
    plugins: tuple[str, ...],
) -> None:
    """Write one line for each test image: what ROW predicts, and the probability of each class.

    ROW is a method or method+strategy of a finished trial, or the name of an imported model. Columns:
    the image (its file where images are files, else its place in the test pool), label, prediction,
    and a probability for each class under its name. Records hold none of this.
    """
    from ltbench.execute.request import Request
    from ltbench.imported.predictions import (
        Asked,
        checked_kind,
        predictions_frame,
        write_frame,
    )

    checked_kind(output)
    request = Request(
        methods=row,
        protocol=protocol,
        seeds=(seed,),
        results=results,
        data_dir=data_dir,
        plugins=plugins,
        overrides=overrides(sets, imbalance, test_ratios, ensembles),
        train=False,
        mixed_recipe=mixed_recipe,
    )
    frame = predictions_frame(Asked(row, request, seed, distribution, draw))
    write_frame(frame, output)
    click.echo(f"{len(frame)} images: {output}")
