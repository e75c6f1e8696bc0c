"""``ltbench reproduce``: a protocol's whole study, trained, evaluated and reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ltbench.cli.options import (
    overrides,
    plugin_option,
    results_option,
    training_options,
)

EPILOG = """\b
Examples:
  ltbench reproduce digits-lt
  ltbench reproduce cifar100-lt-short --data-dir ~/cifar100 --dry-run
  ltbench reproduce cifar100-lt --parts imbalance-100 --seeds 1
  ltbench reproduce my_protocol.toml --results ~/runs

\b
What to expect (estimates of training and views, as --dry-run makes one for the
machine at hand; rows that fit a test prior take minutes more on CIFAR):
  digits-lt          a few minutes on 2 idle CPU cores
  cifar100-lt-short  3 hours on 2 idle CPU cores, for the one seed it asks for
  cifar100-lt        11 days on 2 idle CPU cores: there use --parts and --seeds;
                     one NVIDIA H200 with CUDA graphs: 3 hours of training,
                     by epochs measured there (200 of them: 87 s with one
                     head, 135 s with three experts, in a process alone);
                     cluster: --engine slurm, see docs/clusters.md; at best the
                     time is that of the longest trial.

\b
The same command again skips what is finished, resumes what was interrupted and
retries what failed. The parts of a study are listed by `ltbench show PROTOCOL`.
"""


@click.command(name="reproduce", epilog=EPILOG)
@click.argument("protocol")
@click.option("--parts", metavar="LIST", help="Some parts of the study, by commas; default: all.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override for every part, e.g. recipe.epochs=40; may be repeated.",
)
@training_options
@results_option
@plugin_option
@click.option("--dry-run", is_flag=True, help="Print plan and time, and stop.")
@click.option("--no-report", is_flag=True, help="Train and evaluate only.")
def command(
    protocol: str,
    parts: str | None,
    sets: tuple[str, ...],
    seeds: str | None,
    results: Path,
    quiet: bool,
    dry_run: bool,
    no_report: bool,
    **arguments: Any,
) -> int:
    """Run all that PROTOCOL's study lists, evaluate it and write the report.

    The study is data of the protocol file: parts with rows, overrides and seeds ([[study]]).
    """

    from ltbench.cli.data_progress import DataProgress
    from ltbench.cli.plan_table import print_plan, print_study_total
    from ltbench.cli.run import run_plan
    from ltbench.cli.terminal import stdout_console
    from ltbench.execute.request import Request
    from ltbench.execute.study import plan_study
    from ltbench.names import split_list
    from ltbench.protocol.seed_list import parse_seeds

    console = stdout_console(soft_wrap=True)
    request = Request(
        methods="",
        protocol=protocol,
        seeds=parse_seeds(seeds) if seeds is not None else None,
        results=results,
        overrides=overrides(sets, None, None),
        dry_run=dry_run,
        **arguments,
    )
    names = split_list(parts) if parts is not None else []
    with DataProgress(console, quiet=quiet) as report:
        planned = plan_study(request, names, report)
    if not quiet or dry_run:
        for part in planned:
            print_plan(part.plan, console, part=part.part.name)
        print_study_total(planned, console)
    if dry_run:
        return 0
    code, finished, left = 0, 0, False
    for part in planned:
        outcome = run_plan(part.plan, console, quiet=quiet)
        code, finished = max(code, outcome.exit_code), finished + len(outcome.finished)
        left = left or bool(outcome.left)
        if outcome.signal:
            return code
    if finished and not no_report and not left:
        from ltbench.report.build import build_report

        built = build_report(results)
        console.print(f"report: {built.output / 'index.md'}", markup=False)
    return code
