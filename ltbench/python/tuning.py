"""Hyper-parameters and recipe fields chosen on held-out training images, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ltbench.errors import InputError
from ltbench.python.arguments import (
    AnyPath,
    Plugins,
    Seeds,
)

if TYPE_CHECKING:
    from ltbench.execute.run import Failure
    from ltbench.execute.tune import Choice

Grid = Mapping[str, Iterable[object]] | str | Iterable[str]


@dataclass(frozen=True, eq=False)
class Tuned:
    """What :func:`tune_method` chose.

    chosen: the row, ``"sade[tau=1]"``, for ``run`` and ``evaluate_trials``; hyper: all its
    hyper-parameters; recipe: what of the recipe was chosen, as overrides, ``{"recipe.lr": "0.05"}``;
    table: one row per grid point, in the order of the grid, with ``row``,
    ``score`` (mean hold-out accuracy, per cent), ``error`` (its standard error), ``chosen`` and one
    column for each label distribution (per cent; empty where a trial of it failed); as_good: rows
    within one standard error of the chosen one; seconds: of data, training and inference of all
    trials; trials: how many; record: the file; failures: trials that did not work out.
    """

    chosen: str
    hyper: dict[str, Any]
    table: pd.DataFrame
    as_good: tuple[str, ...]
    seconds: float
    trials: int
    record: Path
    failures: tuple[Failure, ...]
    recipe: dict[str, str] = field(default_factory=dict)


def tune_method(
    method: str,
    protocol: str,
    grid: Grid,
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
    quiet: bool = True,
    **overrides: Any,
) -> Tuned:
    """Chooses hyper-parameters of ``method`` on held-out training images, as ``ltbench tune``.

    grid: ``{"tau": [0.5, 1, 2]}`` (several keys: every combination) or ``"tau=0.5,1,2"``; fields of
    the recipe are ``{"recipe.lr": [0.05, 0.1], "recipe.epochs": [10, 20]}``; the other
    arguments as for :func:`ltbench.run`. No test image is looked at. A protocol without a hold-out
    gets ``train.holdout`` = 0.1. Raises :class:`ValueError` for wrong input before any work, and
    :class:`ltbench.errors.LtbenchError` where no point has all its trials finished.
    """
    from rich.console import Console

    from ltbench.cli.data_progress import DataProgress
    from ltbench.execute.tune import choose, plan_tuning
    from ltbench.python.execution import execute_plan, make_request

    request = make_request(
        "", protocol, seeds, results, data_dir, plugins, overrides,
        device=device, precision=precision, jobs=jobs, loaders=loaders,
        engine=engine, engine_settings=dict(engine_settings or {}), timeout=timeout,
    )  # fmt: skip
    axes = _axes(grid)
    with DataProgress(Console(), quiet=quiet) as report:
        tune = plan_tuning(request, method, axes, report)
    outcome = execute_plan(tune.plan, quiet=quiet)
    choice = choose(tune)
    return Tuned(
        chosen=choice.chosen.method,
        hyper=choice.chosen.row.hyper.to_json(),
        table=_table(choice),
        as_good=tuple(choice.as_good),
        seconds=choice.seconds,
        trials=len(tune.plan.trials),
        record=choice.path,
        failures=tuple(outcome.failures),
        recipe=dict(choice.chosen.recipe),
    )


def _axes(grid: Grid) -> list[str]:
    from ltbench.settings import show

    if isinstance(grid, str):
        return [grid]
    if not isinstance(grid, Iterable):
        raise InputError(f"grid = {grid!r} must be a mapping, as in {{'tau': [0.5, 1, 2]}}")
    if not isinstance(grid, Mapping):
        return list(grid)
    axes = []
    for key, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InputError(
                f"grid[{key!r}] = {values!r} must be a list of values, as in [0.5, 1, 2]"
            )
        texts = [show(value) for value in values]
        if any("," in text for text in texts):
            raise InputError(f"grid[{key!r}] = {values!r}: a value of a grid holds no comma")
        axes.append(f"{key}={','.join(texts)}")
    return axes


def _table(choice: Choice) -> pd.DataFrame:
    missing = float("nan")
    rows = []
    for candidate in choice.candidates:
        score = candidate.score
        values = score.accuracies if score else [missing] * len(choice.sets)
        rows.append(
            {
                "row": candidate.label,
                "score": score.mean if score else missing,
                "error": score.error if score else missing,
                "chosen": candidate is choice.chosen,
                **{s.name: float(v) for s, v in zip(choice.sets, values, strict=True)},
            }
        )
    types = {"row": "str", "score": "float64", "error": "float64", "chosen": "bool"}
    return pd.DataFrame(rows).astype(types | {s.name: "float64" for s in choice.sets})
