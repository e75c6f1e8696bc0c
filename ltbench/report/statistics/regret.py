"""How far a row stays behind the exact oracle of its own training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import sub

from ltbench.report.records.schema import Distribution, Draw, Evaluation
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import TestSet
from ltbench.report.rows.summary import mean_of

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
            if known is None or _rank(evaluation) <= _rank(known):  # equal: the latest counts
                chosen[evaluation.trial.trial] = evaluation
    return {trial: {d.name: d for d in e.distributions} for trial, e in chosen.items()}


def _rank(evaluation: Evaluation) -> tuple[str, str, str]:
    """Plain settings before changed ones, then by name, so that the choice is always the same."""
    return (evaluation.strategy_params, evaluation.method_params, evaluation.label)


def regret(row: Row, found: Oracles, test: str) -> dict[int, float]:
    """Oracle minus row in points per seed, over the draws that both have; only seeds with both."""
    if row.uses_true_prior:
        return {}
    behind = {
        seed: points_behind(own, found.get(row.latest[seed].trial.trial, {}).get(test))
        for seed, own in row.results.get(test, {}).items()
    }
    return {seed: points for seed, points in behind.items() if points is not None}


def common_draws(one: Distribution, other: Distribution | None) -> list[tuple[Draw, Draw]]:
    """Pairs of equal number: none where the two are not the same test set."""
    if other is None or one.definition != other.definition:
        return []
    if same_draws(one, other):
        return list(zip(one.draws, other.draws, strict=True))
    known = {draw.number: draw for draw in other.draws}
    return [(draw, known[draw.number]) for draw in one.draws if draw.number in known]


def same_draws(one: Distribution, other: Distribution) -> bool:
    """Whether both are the same draws of the same test set, as a rule."""
    return one.definition == other.definition and one.numbers == other.numbers


def points_behind(own: Distribution, reference: Distribution | None) -> float | None:
    """Reference minus own top-1, mean over the draws that both have; None where there is none."""
    if reference is not None and same_draws(own, reference):
        return mean_of([*map(sub, reference.top1s, own.top1s)])
    return mean_of(best.top1 - draw.top1 for draw, best in common_draws(own, reference))


def mean_regret(found: Oracles, tests: Sequence[TestSet]) -> Callable[[Row], dict[int, float]]:
    """From a row to its regret per seed, mean over ``tests``; only seeds that have all of them."""

    kept: dict[int, dict[int, float]] = {}

    def pick(row: Row) -> dict[int, float]:
        """Kept: a table asks several times."""
        if id(row) not in kept:
            kept[id(row)] = means_of(row)
        return kept[id(row)]

    def means_of(row: Row) -> dict[int, float]:
        per_test = [regret(row, found, test.name) for test in tests]
        means: dict[int, float] = {}
        for seed in row.seeds:
            present = [v for values in per_test if (v := values.get(seed)) is not None]
            if len(present) == len(tests):
                means[seed] = sum(present) / len(present)
        return means

    return pick
