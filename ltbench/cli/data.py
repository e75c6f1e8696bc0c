"""``ltbench data``: fetch and decode the images of a protocol, check them, say where they lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ltbench.cli.data_split import split
from ltbench.cli.options import plugin_option

if TYPE_CHECKING:
    from ltbench.cli.data_progress import DataProgress
    from ltbench.data.dataset import Dataset, Splits
    from ltbench.protocol.protocol import DataConfig

F = TypeVar("F", bound=Callable[..., Any])


def _options(function: F) -> F:
    folder = click.Path(path_type=Path)
    option = click.option("--data-dir", type=folder, help="Your folder of images; it is only read.")
    argument = click.argument("protocol", metavar="PROTOCOL")
    return argument(option(plugin_option(function)))


def _lists_option(function: F) -> F:
    return click.option(
        "--lists",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        metavar="DIR",
        help='Folder of the list files of a protocol with source = "lists".',
    )(function)


@click.group(name="data")
def command() -> None:
    """Get, check and locate the images of a protocol (a name or FILE.toml).

    \b
    Examples:
      ltbench data prepare cifar100-lt
      ltbench data check cifar100-lt --data-dir ~/data/cifar100
      ltbench data where cifar10-lt
      ltbench data export cifar100-lt --output cifar100-lt-lists
      ltbench data split photos -o photos.csv
    """


command.add_command(split)


@command.command()
@_options
@_lists_option
def prepare(
    protocol: str, data_dir: Path | None, lists: Path | None, plugins: tuple[str, ...]
) -> None:
    """Download where needed, decode once, check. A folder given with --data-dir is only read.

    Of source "lists" nothing is decoded: lists are checked and, where the protocol states their checksum,
    kept, and the sizes of the files are looked up.
    """
    from ltbench.data.list_check import keep_lists, keep_published, lists_in
    from ltbench.data.sources import open_data
    from ltbench.protocol.file import load_protocol_config

    loaded = load_protocol_config(protocol, plugins=plugins)
    config = lists_in(loaded.data, lists)
    with _progress() as report:
        splits = open_data(config, data_dir, report=report, plugins=plugins, asked=True)
    _summarise(config, splits)
    for path in [*keep_lists(config, data_dir), *keep_published(loaded, lists)]:
        click.echo(f"  kept: {path}")


@command.command()
@_options
@_lists_option
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override of the protocol.")
def check(
    protocol: str,
    data_dir: Path | None,
    lists: Path | None,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Read and check all images; nothing is downloaded. Exit code 2 where something is wrong.

    Everything wrong is listed at once, by kind, each file with its reason; of the rest what was done
    to images (transparency, EXIF orientation, grey) and what was left out, images beside those that a
    list or table names, the images of each class and test set, and a warning of files with the same
    content: in train and test, under two labels.
    Of source "lists" every file is looked for and some are opened; no file is read whole. Of pretrained
    weights the SHA-256 is told.
    """
    from ltbench.cli.data_counts import count_lines
    from ltbench.cli.data_lists import check_lists
    from ltbench.data.findings import DataProblems, error_lines, note_lines, warning_lines
    from ltbench.data.list_check import lists_in, needs, published_in
    from ltbench.data.sources import open_data
    from ltbench.data.unlisted import unlisted_notes
    from ltbench.errors import DataError, InputError
    from ltbench.protocol.file import load_protocol_config
    from ltbench.protocol.weights_file import told as weights_told

    loaded = load_protocol_config(protocol, sets, plugins=plugins)
    config = lists_in(loaded.data, lists)
    loaded = replace(loaded, test=published_in(loaded.test, lists))
    weights = loaded.model.pretrained
    absent: InputError | None = None
    for line in needs(config):
        click.echo(line)
    try:
        for line in weights_told(weights.file, weights.sha256):
            click.echo(line)
    except InputError as error:  # the images are checked all the same
        absent = error
    try:
        with _progress() as report:
            splits = open_data(
                config, data_dir, download=False, report=report, thorough=True, plugins=plugins
            )
        sampled = check_lists(loaded, config, splits, data_dir)
    except DataProblems as problems:
        found = problems.findings
        told = (error_lines(found), warning_lines(found.warnings), note_lines(found.tallies()))
        for line in (line for lines in told for line in lines):
            click.echo(line)
        total = sum(map(len, found.errors.values()))
        what = "1 thing is" if total == 1 else f"{total:,} things are"
        raise DataError(f"{what} wrong with the data of {protocol}, listed above") from None
    _summarise(config, splits)
    beside = note_lines(unlisted_notes(config, splits))
    counts, warnings = count_lines(loaded, splits), warning_lines(splits.warnings)
    for line in (*beside, *sampled, *counts, *warnings):
        click.echo(line)
    if absent is not None:
        raise absent


@command.command()
@_options
def where(protocol: str, data_dir: Path | None, plugins: tuple[str, ...]) -> None:
    """Say what is there, what is missing and how to get it, without reading images."""
    from ltbench.data.findings import note_lines
    from ltbench.data.sources import describe

    status = describe(_config(protocol, plugins), data_dir, plugins)
    click.echo(f"source:  {status.source}")
    click.echo(f"ready:   {'yes' if status.ready else 'no'}")
    if status.found:
        click.echo(f"found:   {status.found}")
    if status.missing:
        click.echo(f"missing: {status.missing}")
    if status.remedy:
        click.echo(f"remedy:  {status.remedy}")
    for line in note_lines(status.notes):
        click.echo(line)
    if status.stored:
        click.echo(f"decoded: {status.decoded or 'not yet'}")
        click.echo(f"cache:   {status.cache} (LTBENCH_CACHE)")


@command.command()
@_options
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the lists go.  [default: <protocol>-lists]",
)
@click.option(
    "--draws", type=click.IntRange(min=1), help="Draws of each shifted set; default: all."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override of the protocol.")
def export(
    protocol: str,
    data_dir: Path | None,
    output: Path | None,
    draws: int | None,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
) -> None:
    """Write index lists of every training and test set, with checksums, for other code bases."""
    from ltbench.data.sources import open_data
    from ltbench.imported.export import export_lists
    from ltbench.protocol.file import load_protocol_config
    from ltbench.task import build_task

    loaded = load_protocol_config(protocol, sets, plugins=plugins)
    with _progress() as report:
        splits = open_data(loaded.data, data_dir, report=report, plugins=plugins)
    folder = output or Path(f"{loaded.name}-lists")
    paths = export_lists(build_task(loaded, splits), folder, draws)
    click.echo(f"{len(paths) - 2} index lists, manifest.json and SHA256SUMS in {folder}")


def _config(protocol: str, plugins: tuple[str, ...]) -> DataConfig:
    from ltbench.protocol.file import load_protocol_config

    return load_protocol_config(protocol, plugins=plugins).data


def _summarise(config: DataConfig, splits: Splits) -> None:
    import numpy as np

    from ltbench.data.findings import note_lines

    click.echo(f"{config.source}: {splits.origin}")
    for name, dataset in (("train", splits.train), ("test", splits.test), ("val", splits.holdout)):
        if dataset is None:
            continue
        counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
        click.echo(
            f"  {name:5} {len(dataset):7,} images of {_size(dataset)}, "
            f"{len(counts)} classes of {counts.min()} to {counts.max()} images, "
            f"sha256 {dataset.fingerprint[:16]}"
        )
    for line in note_lines(splits.notes):
        click.echo(f"  {line}")


def _size(dataset: Dataset) -> str:
    from ltbench.features.dataset import FeatureDataset

    if isinstance(dataset, FeatureDataset):
        return f"{dataset.dim} numbers"
    return f"{dataset.image_size} x {dataset.image_size} pixels"


def _progress() -> DataProgress:
    """On stderr, so that the summary on stdout stays clean."""
    from rich.console import Console

    from ltbench.cli.data_progress import DataProgress

    return DataProgress(Console(stderr=True))
