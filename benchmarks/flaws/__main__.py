"""``python -m benchmarks.flaws``: one experiment each, a table and its numbers as JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ltbench.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


def shared(function: F) -> F:
    """--protocol, --short and --output of every experiment."""
    for option in (
        click.option("--output", type=click.Path(path_type=Path), help="Folder for .md and .json."),
        click.option("--short", is_flag=True, help="Marks the table: short budget."),
        click.option("--protocol", default="digits-lt", show_default=True),
    ):
        function = option(function)
    return function


def finish(measure: Callable[[str], Any], short: bool, output: Path | None) -> None:
    try:
        finding = measure(" (short budget)" if short else "")
    except InputError as error:
        raise click.ClickException(str(error)) from None
    click.echo(finding.markdown())
    if output is not None:
        finding.write(output)


@click.group()
def main() -> None:
    """Measures what the flaws of published evaluations change."""


@main.command()
@click.argument("results", type=click.Path(path_type=Path))
@shared
def augmented(results: Path, protocol: str, short: bool, output: Path | None) -> None:
    """Shifted test images under the training augmentation, against clean ones."""
    from benchmarks.flaws.augmented import measure

    finish(lambda budget: measure(results, protocol, budget), short, output)


@main.command(name="best-epoch")
@click.option("--methods", default="ce,sade", show_default=True)
@click.option("--seeds", default="10", show_default=True, metavar="N|LIST")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE")
@click.option("--data-dir", type=click.Path(path_type=Path))
@shared
def best_epoch(
    methods: str,
    seeds: str,
    sets: tuple[str, ...],
    data_dir: Path | None,
    protocol: str,
    short: bool,
    output: Path | None,
) -> None:
    """The epoch with the best test accuracy, against the last one."""
    from benchmarks.flaws.best_epoch import measure
    from ltbench.protocol.overrides import parse_overrides
    from ltbench.protocol.seed_list import parse_seeds

    def run(budget: str) -> Any:
        overrides = parse_overrides(sets)
        numbers = parse_seeds(seeds)
        return measure(methods.split(","), protocol, numbers, budget, overrides, data_dir)

    finish(run, short, output)


@main.command()
@click.argument("results", type=click.Path(path_type=Path))
@shared
def variance(results: Path, protocol: str, short: bool, output: Path | None) -> None:
    """Subset, training seed and draw, apart."""
    from benchmarks.flaws.variance import measure

    finish(lambda budget: measure(results, protocol, budget), short, output)


@main.command()
@click.argument("results", type=click.Path(path_type=Path))
@shared
def normalisation(results: Path, protocol: str, short: bool, output: Path | None) -> None:
    """Another data set's normalisation constants, against the own ones."""
    from benchmarks.flaws.normalisation import measure

    finish(lambda budget: measure(results, protocol, budget), short, output)


@main.command()
@click.argument("protocol")
@click.option("--data-dir", type=click.Path(path_type=Path))
def constants(protocol: str, data_dir: Path | None) -> None:
    """Constants as wrong for PROTOCOL as CIFAR-10's are for CIFAR-100, as --set options."""
    from benchmarks.flaws.normalisation import constants

    try:
        mean, std = constants(protocol, data_dir)
    except InputError as error:
        raise click.ClickException(str(error)) from None
    told = (
        f"--set data.{name}={','.join(map(str, v))}" for name, v in (("mean", mean), ("std", std))
    )
    click.echo(" ".join(told))


if __name__ == "__main__":
    main()
