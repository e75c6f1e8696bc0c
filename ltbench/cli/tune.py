"""``ltbench tune``: chooses hyper-parameters and recipe fields on held-out training images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ltbench.cli.options import (
    overrides,
    plugin_option,
    protocol_options,
    results_option,
    training_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ltbench.execute.tune import Choice

EPILOG = """\b
Examples:
  ltbench tune logit-adjustment --protocol digits-lt --grid tau=0.5,1,2
  ltbench tune sade --protocol cifar100-lt-short --grid tau=1,2,3 --seeds 1
  ltbench tune ride --protocol digits-lt --grid experts=2,3 --grid diversity_factor=-0.45,0
  ltbench tune ce --protocol digits-lt --grid recipe.lr=0.05,0.1 --grid recipe.epochs=10,20
"""


@click.command(name="tune", epilog=EPILOG)
@click.argument("method", metavar="METHOD")
@click.option(
    "--grid",
    multiple=True,
    required=True,
    metavar="KEY=V,V",
    help="Values of one hyper-parameter, or of recipe.lr, recipe.epochs, ...; repeated: all combinations.",
)
@protocol_options
@training_options
@results_option
@plugin_option
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def command(
    method: str,
    grid: tuple[str, ...],
    protocol: str,
    imbalance: str | None,
    test_ratios: str | None,
    sets: tuple[str, ...],
    seeds: str | None,
    data_dir: Path | None,
    quiet: bool,
    results: Path,
    plugins: tuple[str, ...],
    dry_run: bool,
    **running: Any,
) -> int:
    """Choose hyper-parameters of METHOD, or its recipe, on held-out training images alone.

    Trains every point of the grid with a hold-out (train.holdout, 0.1 unless the protocol has one),
    scores the hold-out under the label distributions of the protocol and records choice and cost. No test
    image is looked at.
    """

    from ltbench.cli.data_progress import DataProgress
    from ltbench.cli.plan_table import print_plan
    from ltbench.cli.terminal import stdout_console
    from ltbench.execute.command import run_command, shown
    from ltbench.execute.progress import RunProgress
    from ltbench.execute.request import Request
    from ltbench.execute.run import execute
    from ltbench.execute.tune import choose, plan_tuning
    from ltbench.protocol.seed_list import parse_seeds

    console = stdout_console(soft_wrap=True)
    request = Request(
        methods="",
        protocol=protocol,
        seeds=parse_seeds(seeds) if seeds is not None else None,
        results=results,
        data_dir=data_dir,
        plugins=plugins,
        overrides=overrides(sets, imbalance, test_ratios),
        dry_run=dry_run,
        **running,
    )
    with DataProgress(console, quiet=quiet) as report:
        tune = plan_tuning(request, method, grid, report)
    if not quiet or dry_run:
        print_plan(tune.plan, console)
    if dry_run:
        return 0
    with RunProgress(tune.plan, console, quiet=quiet) as progress:
        outcome = execute(tune.plan, listen=progress)
    for failure in outcome.failures:
        console.print(f"failed: {failure.label}: {failure.error}", style="red", markup=False)
    if outcome.left:
        console.print(f"left running: {', '.join(outcome.left)}", markup=False)
        console.print("the same command without --detach collects them and chooses", markup=False)
        return outcome.exit_code
    if outcome.signal:
        console.print("interrupted; the same command continues", markup=False)
        return outcome.exit_code
    choice = choose(tune)
    print_choice(choice, console)
    chosen = choice.chosen
    asked = {**request.overrides, **chosen.recipe}
    use = shown(run_command(replace(request, methods=chosen.method, overrides=asked)), results)
    console.print(f"use: {use}", markup=False, highlight=False)
    console.print(f"recorded in {choice.path}", markup=False, highlight=False)
    return outcome.exit_code


def print_choice(choice: Choice, console: Console) -> None:
    """Every grid point with its score, the best one marked; then what the mean is made of."""
    from ltbench.cli.blocks import print_blocks
    from ltbench.progress import duration
    from ltbench.report.records.names import short_name

    short = [short_name(s.name, s.kind, s.ratio) for s in choice.sets]
    lines = []
    for candidate in choice.candidates:
        mark = " *" if candidate is choice.chosen else ""
        score = candidate.score
        cells = ["failed", *("-" for _ in short)]
        if score is not None:
            accuracies = [f"{value:.1f}" for value in score.accuracies]
            cells = [f"{score.mean:.2f} ± {score.error:.2f}", *accuracies]
        lines.append((candidate.label + mark, *cells))
    title = "hold-out accuracy (%) under each label distribution, ± its standard error"
    print_blocks(title, ("row", "mean", *short), lines, console)
    trials = {planned.trial.hash for c in choice.candidates for planned in c.trials}
    console.print(
        f"chosen: {choice.chosen.label}; cost: {duration(choice.seconds)} in {len(trials)} trials",
        markup=False,
        highlight=False,
    )
    if choice.as_good:
        console.print(
            f"within one standard error, so not told apart: {', '.join(choice.as_good)}",
            markup=False,
            highlight=False,
        )
