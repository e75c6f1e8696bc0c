"""How far a row stays behind the exact oracle of its own training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ltbench.report.rows import Row
from ltbench.report.schema import Distribution, Evaluation
from ltbench.report.sections import TestSet
from ltbench.report.statistics import mean_of

ORACLE = "oracle"
EXACT_ENOUGH = ("", "closed-form", "fitted")  # "": told by no record before the kind was recorded

Oracles = Mapping[str, Mapping[str, Distribution]]
"""Per trial the distributions of its oracle."""


def oracles(rows: Sequence[Row]) -> dict[str, dict[str, Distribution]]:
    """The oracle of each trial, where the bias of the training posterior is known or fitted.

    A trial's oracle serves all rows that are evaluated on it: that of ``ce`` is also the oracle of
    post-hoc logit adjustment.
    """
    chosen: dict[str, Evaluation] = {}
    for row in rows:
        for evaluation in row.evaluations:
            if not (
                evaluation.uses_true_prior
                and evaluation.strategy == ORACLE
                and evaluation.bias_kind in EXACT_ENOUGH
            ):
                continue
            known = chosen.get(evaluation.trial.trial)
            if known is None or _rank(evaluation) < _rank(known):
                chosen[evaluation.trial.trial] = evaluation
    return {trial: {d.name: d for d in e.distributions} for trial, e in chosen.items()}


def _rank(evaluation: Evaluation) -> tuple[str, str, str]:
    """Plain settings before changed ones, then by name, so that the choice is always the same."""
    return (evaluation.strategy_params, evaluation.method_params, evaluation.label)


def regret(row: Row, found: Oracles, test: str) -> dict[int, float | None]:
    """Oracle minus row in points per seed, over the draws that both have; unknown where one lacks."""
    if row.uses_true_prior:
        return {}
    values: dict[int, float | None] = {}
    for seed, evaluation in row.latest.items():
        own = row.results.get(test, {}).get(seed)
        reference = found.get(evaluation.trial.trial, {}).get(test)
        if own is None or reference is None or own.definition != reference.definition:
            continue
        best = {draw.number: draw.top1 for draw in reference.draws}
        values[seed] = mean_of(
            best[draw.number] - draw.top1 for draw in own.draws if draw.number in best
        )
    return values


def mean_regret(found: Oracles, tests: Sequence[TestSet]) -> Callable[[Row], dict[int, float]]:
    """From a row to its regret per seed, mean over ``tests``; only seeds that have all of them."""

    def pick(row: Row) -> dict[int, float]:
        per_test = [regret(row, found, test.name) for test in tests]
        means: dict[int, float] = {}
        for seed in row.seeds:
            present = [v for values in per_test if (v := values.get(seed)) is not None]
            if len(present) == len(tests):
                means[seed] = sum(present) / len(present)
        return means

    return pick
