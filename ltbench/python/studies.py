"""A protocol's whole study, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.python.arguments import (
    AnyPath,
    Plugins,
    Seeds,
    listed,
)

if TYPE_CHECKING:
    from ltbench.execute.run import Outcome


def reproduce_study(
    protocol: str,
    parts: str | Iterable[str] = (),
    *,
    seeds: Seeds = None,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    device: str = "auto",
    precision: str = "float32",
    jobs: int | None = None,
    loaders: int | None = None,
    plugins: Plugins = (),
    engine: str = "local",
    engine_settings: Mapping[str, Any] | None = None,
    timeout: str = "",
    report: bool = True,
    quiet: bool = True,
    **overrides: Any,
) -> dict[str, Outcome]:
    """Trains, evaluates and reports what the protocol's ``[[study]]`` lists, as ``ltbench reproduce``.

    parts: some parts by name, default all; report: also write the report to ``<results>/report``
    where anything finished; the other arguments as for :func:`ltbench.run`, for every part. Returns
    the outcome of each part by name. Raises :class:`ValueError` for wrong input, before any work.
    """
    from rich.console import Console

    from ltbench.cli.data_progress import DataProgress
    from ltbench.execute.study import plan_study
    from ltbench.python.execution import execute_plan, make_request
    from ltbench.report.build import build_report

    request = make_request(
        "", protocol, seeds, results, data_dir, plugins, overrides,
        device=device, precision=precision, jobs=jobs, loaders=loaders,
        engine=engine, engine_settings=dict(engine_settings or {}), timeout=timeout,
    )  # fmt: skip
    with DataProgress(Console(), quiet=quiet) as progress:
        planned = plan_study(request, listed(parts), progress)
    outcomes = {part.part.name: execute_plan(part.plan, quiet=quiet) for part in planned}
    if report and any(outcome.finished for outcome in outcomes.values()):
        build_report(Path(results))
    return outcomes
