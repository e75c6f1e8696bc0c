"""``python -m benchmarks``: our path and the published procedure, interleaved in one run."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import material as materials
from benchmarks.goals import judge
from benchmarks.official import Official
from benchmarks.published import Published
from benchmarks.roofline import machine_limits, roofline
from benchmarks.row import Row
from benchmarks.rows_data import augmentation
from benchmarks.rows_interface import interface
from benchmarks.rows_labelshift import label_shift
from benchmarks.rows_testing import Tested, adaptation, evaluation
from benchmarks.rows_training import training
from ltbench.errors import InputError
from ltbench.files import write_json
from ltbench.trial.environment import bf16_is_native, environment, usable_cpus

PARTS = ("augmentation", "training", "testing", "label-shift", "interface")
console = Console(soft_wrap=True)


@click.command()
@click.option(
    "--only", type=click.Choice(PARTS), multiple=True, help="Some parts; may be repeated."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Real CIFAR-100; else random images."
)
@click.option(
    "--official",
    type=click.Path(path_type=Path, exists=True),
    help="A clone of SADE-AgnosticLT to time instead of the transcription.",
)
@click.option("--rounds", default=3, show_default=True, help="A B A B: how often each is timed.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON of everything printed.")
def main(
    only: tuple[str, ...],
    data_dir: Path | None,
    official: Path | None,
    rounds: int,
    output: Path | None,
) -> None:
    """Times ltbench against the published procedure; about 13 minutes on 2 cores."""
    torch.set_num_threads(usable_cpus())
    began = time.monotonic()
    rows: list[Row] = []
    try:
        for row in _rows(only or PARTS, data_dir, official, rounds):
            rows.append(row)
            _print(row)
            if output is not None:  # after every row: a later one that fails costs no earlier one
                minutes = (time.monotonic() - began) / 60
                write_json(output, _record(rows, rounds, minutes, official is not None))
    except InputError as error:
        raise click.ClickException(str(error)) from None
    table = Table("goal", "outcome", title="Goals on two CPU cores")
    for goal, outcome in judge(rows):
        table.add_row(goal.replace("[", r"\["), outcome)
    console.print(table)
    minutes = (time.monotonic() - began) / 60
    console.print(f"{minutes:.1f} minutes, load average {os.getloadavg()[0]:.1f} at the end")
    if output is not None:
        console.print(f"written to {output}")


def _record(rows: list[Row], rounds: int, minutes: float, official: bool) -> dict[str, Any]:
    cpu = torch.device("cpu")
    machine = {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "bf16_native": bf16_is_native(cpu),
        "load_average": os.getloadavg(),
    }
    record = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment(cpu) | machine,
        "limits": machine_limits(),
        "compared_with": "official" if official else "transcription",
        "rounds": rounds,
        "minutes": round(minutes, 2),
        "rows": [dataclasses.asdict(row) for row in rows],
        "goals": dict(judge(rows)),
    }
    written: dict[str, Any] = json.loads(json.dumps(record))
    return written


def _rows(
    parts: tuple[str, ...], data_dir: Path | None, official: Path | None, rounds: int
) -> Iterator[Row]:
    material = materials.load(data_dir, rounds)
    mean, std = (values.tolist() for values in material.normalisation())
    published = (
        Official(official, mean, std, material.train, material.train_labels)
        if official
        else Published(mean, std)
    )
    console.print(f"{material.images}; against the {published.name}; {usable_cpus()} CPU cores")
    if "augmentation" in parts:
        yield augmentation(material, published)
    if "training" in parts:
        for method in ("ce", "sade"):
            row = training(material, published, data_dir, method)
            roofline(row, material, method)
            yield row
    if "testing" in parts:
        tested = Tested.build(material, published)
        row, seconds = evaluation(tested)
        yield row
        yield adaptation(tested, seconds)
    if "label-shift" in parts:
        yield label_shift(rounds)
    if "interface" in parts:
        yield interface(rounds)


def _print(row: Row) -> None:
    table = Table("", "median", "low", "high", title=row.title)
    for name, (unit, spread) in row.measured.items():
        values = (f"{value:,.4g}" for value in (spread.median, spread.low, spread.high))
        table.add_row(f"{name} [{unit}]".replace("[", r"\["), *values)
    for name, spread in row.ratios.items():
        table.add_row(
            f"ratio: {name}".replace("[", r"\["),
            *(f"{v:.2f}x" for v in (spread.median, spread.low, spread.high)),
        )
    console.print(table)
    for text in [*row.notes, *(f"{name}: skipped, {why}" for name, why in row.skipped.items())]:
        console.print(f"  {text}", style="dim", markup=False)
    for text, passed in row.checks.items():
        told = f"  {'yes' if passed else 'NO'}: {text}"
        console.print(told, style="" if passed else "red", markup=False)


if __name__ == "__main__":
    main()
