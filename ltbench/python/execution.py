"""Requests carried out: what ``run``, ``evaluate_trials``, ``tune_method`` and the like share."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.errors import InputError, InterruptedRun
from ltbench.python.arguments import (
    AnyPath,
    Ensembles,
    Plugins,
    Seeds,
    dotted,
    ensemble_overrides,
    joined,
    optional_path,
    plugin_files,
    seed_numbers,
)

if TYPE_CHECKING:
    from ltbench.execute.plan import Plan
    from ltbench.execute.request import Request
    from ltbench.execute.run import Outcome


def make_request(
    methods: str | Iterable[str],
    protocol: str,
    seeds: Seeds,
    results: AnyPath,
    data_dir: AnyPath | None,
    plugins: Plugins,
    overrides: dict[str, Any],
    ensembles: Ensembles | None = None,
    **running: Any,
) -> Request:
    """A request in the forms that a notebook gives; ``running``: its other fields."""
    from ltbench.execute.request import Request

    changes, named = dotted(overrides), ensemble_overrides(ensembles)
    twice = next((key for key in named if key in changes), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice, in ensembles= and as an override; give one")
    return Request(
        methods=joined(methods),
        protocol=protocol,
        seeds=seed_numbers(seeds),
        results=Path(results),
        data_dir=optional_path(data_dir),
        plugins=plugin_files(plugins),
        overrides=changes | named,
        **running,
    )


def plan_request(request: Request, *, quiet: bool) -> Plan:
    """The plan, after telling (unless ``quiet``) how downloading and decoding images goes, and what
    ``all`` leaves out."""
    from rich.console import Console

    from ltbench.cli.data_progress import DataProgress
    from ltbench.execute.prepare import prepare

    with DataProgress(console := Console(), quiet=quiet) as report:
        plan = prepare(request, report)
    for line in () if quiet else plan.left_out:
        console.print(f"note: {line}", markup=False)
    return plan


def execute_plan(plan: Plan, *, quiet: bool) -> Outcome:
    """Trains and evaluates. Raises :class:`KeyboardInterrupt` after Ctrl-C (or the notebook's stop
    button) and :class:`InterruptedRun` after another signal: progress is kept, and the statements
    after the call must not go on as if it had finished."""
    from rich.console import Console

    from ltbench.execute.progress import RunProgress
    from ltbench.execute.run import execute

    with RunProgress(plan, Console(), quiet=quiet) as progress:
        outcome = execute(plan, listen=progress)
    if outcome.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.signal:
        raise InterruptedRun(f"stopped by signal {outcome.signal}; the same call continues")
    return outcome


def carry_out(request: Request, *, quiet: bool) -> Outcome:
    """What was asked for: trials, then ensembles of imports. Both are checked before any work."""
    from ltbench.execute.run import Outcome
    from ltbench.imported.split_request import split_request

    split = split_request(request)
    outcome = Outcome()
    if split.trials is not None:
        outcome = execute_plan(plan_request(split.trials, quiet=quiet), quiet=quiet)
    outcome.finished += split.score()
    return outcome
