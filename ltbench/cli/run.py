"""``ltbench run``: trains what is missing, evaluates what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ltbench.cli.options import (
    overrides,
    plugin_option,
    protocol_options,
    results_option,
    run_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ltbench.execute.plan import Plan
    from ltbench.execute.process import Spare
    from ltbench.execute.run import Outcome
    from ltbench.imported.split_request import SplitRequest

EPILOG = """\b
Examples:
  ltbench run --methods ce,sade --protocol digits-lt
  ltbench run --methods 'sade,sade+none,sade[tau=1]' --protocol digits-lt --seeds 5 --jobs 2
  ltbench run --methods ce,sade --protocol cifar100-lt --imbalance 50 --dry-run
  ltbench run --methods ce --protocol my_images.toml --data-dir ~/my_images
  ltbench run --methods '3*ce,3*ce+tilt' --protocol digits-lt --seeds 2
  ltbench run --methods all,all+em --protocol digits-lt

\b
A row is method+strategy, each with parameters in brackets (quote them for the shell).
3*ce is an ensemble of three networks: replicate r of it, counted by --seeds, has those of
the seeds 3r, 3r+1 and 3r+2.
The same command again skips what is finished, resumes what was interrupted and
retries what failed.
"""


@click.command(name="run", epilog=EPILOG)
@click.option(
    "--methods",
    required=True,
    metavar="LIST",
    help="Rows by commas: ce,'sade[tau=1]+none'; see `ltbench list methods`. all: every method there "
    "is, all+em: each with that strategy.",
)
@protocol_options
@run_options
@results_option
@plugin_option
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def command(dry_run: bool, **arguments: Any) -> int:
    """Train methods on a protocol and evaluate them under every test distribution."""
    return execute_command(train=True, dry_run=dry_run, **arguments)


def execute_command(*, dry_run: bool, **arguments: Any) -> int:
    """What ``run`` and ``evaluate`` share: request, plan, execution, summary."""
    from ltbench.execute.process import Spare

    # It loads torch while this process does.
    with Spare(wanted=not dry_run and arguments["engine"] == "local") as spare:
        return _execute(spare, dry_run=dry_run, **arguments)


def _execute(
    spare: Spare,
    *,
    methods: str,
    protocol: str,
    imbalance: str | None,
    test_ratios: str | None,
    sets: tuple[str, ...],
    seeds: str | None,
    data_dir: Path | None,
    device: str,
    precision: str,
    mode: str,
    arrivals: tuple[str, ...],
    ensembles: tuple[str, ...],
    mixes: tuple[Path, ...],
    mixed_recipe: bool,
    jobs: int | None,
    jobs_per_gpu: int | str | None,
    loaders: int | None,
    processes: int,
    accumulate: int,
    timeout: str,
    speed: str,
    engine: str,
    engine_settings: dict[str, str],
    detach: bool,
    track: tuple[str, ...],
    quiet: bool,
    results: Path,
    plugins: tuple[str, ...],
    train: bool,
    dry_run: bool,
) -> int:

    from ltbench.cli.data_progress import DataProgress
    from ltbench.cli.plan_table import print_plan
    from ltbench.cli.terminal import stdout_console
    from ltbench.execute.prepare import prepare
    from ltbench.execute.request import Request
    from ltbench.imported.split_request import split_request
    from ltbench.protocol.seed_list import parse_seeds

    console = stdout_console(soft_wrap=True)
    request = Request(
        methods=methods,
        protocol=protocol,
        seeds=parse_seeds(seeds) if seeds is not None else None,
        results=results,
        data_dir=data_dir,
        device=device,
        precision=precision,
        jobs=jobs,
        jobs_per_gpu=jobs_per_gpu,
        loaders=loaders,
        processes=processes,
        accumulate=accumulate,
        timeout=timeout,
        speed=speed,
        plugins=plugins,
        overrides=overrides(sets, imbalance, test_ratios, ensembles, mixes),
        mode=mode,
        arrivals=arrivals,
        train=train,
        mixed_recipe=mixed_recipe,
        engine=engine,
        engine_settings=engine_settings,
        detach=detach,
        track=track,
        dry_run=dry_run,
    )
    split = split_request(request)
    code = 0
    if split.trials is not None:
        with DataProgress(console, quiet=quiet) as report:
            plan = prepare(split.trials, report)
        if not quiet or dry_run:
            print_plan(plan, console)
        if not dry_run:
            outcome = run_plan(plan, console, quiet=quiet, spare=spare)
            code = outcome.exit_code
            if outcome.signal or outcome.left:
                return code
            if not quiet:
                told = f"{len(outcome.finished)} of {len(plan.trials)} trials done"
                console.print(_done(told, results), markup=False)
    if split.joint:
        _score_imports(split, console, quiet=quiet, dry_run=dry_run)
        if not quiet and not dry_run:
            told = f"{len(split.joint)} of {len(split.joint)} ensembles of imports done"
            console.print(_done(told, results), markup=False)
    return code


def _done(told: str, results: Path) -> str:
    where = "" if str(results) == "results" else f" --results {_quoted(str(results))}"
    return f"{told}; `ltbench report{where}` writes tables and figures"


def _score_imports(split: SplitRequest, console: Console, *, quiet: bool, dry_run: bool) -> None:
    for note in split.notes:
        click.echo(f"note: {note}", err=True)
    if dry_run:
        for one in split.joint:
            members = ", ".join(member.told for member in one.members)
            console.print(
                f"{one.trial.training} {one.trial.seed}: {one.state}, ensemble of imports: {members}",
                markup=False,
            )
        return

    def told(row: str, top1: float) -> None:
        if not quiet:
            console.print(f"{row}: uniform top-1 {top1:.1f}", markup=False)

    split.score(told)


def run_plan(plan: Plan, console: Console, *, quiet: bool, spare: Spare | None = None) -> Outcome:
    """Executes ``plan``, telling how it goes, what failed and how to continue."""
    from ltbench.execute.progress import RunProgress
    from ltbench.execute.run import execute

    with RunProgress(plan, console, quiet=quiet) as progress:
        outcome = execute(plan, listen=progress, spare=spare)
    if outcome.signal:
        again = shown_again(sys.argv[1:])
        console.print(f"interrupted; the same command continues: {again}", markup=False)
    if outcome.left:
        again = shown_again(word for word in sys.argv[1:] if word != "--detach")
        console.print(f"left running: {', '.join(outcome.left)}", markup=False)
        console.print(f"this collects them: {again}", markup=False)
    for failure in outcome.failures:
        console.print(f"failed: {failure.label}: {failure.error}", style="red", markup=False)
        if failure.log.exists():
            console.print(f"        log: {failure.log}", markup=False)
    return outcome


def shown_again(words: Iterable[str]) -> str:
    return "ltbench " + " ".join(map(_quoted, words))


def _quoted(argument: str) -> str:
    import shlex

    return shlex.quote(argument)
