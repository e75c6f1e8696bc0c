"""Rows of a table: one method with its strategy, over seeds and test distributions."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec

from ltbench.report.records.bias import BiasEstimate
from ltbench.report.records.latest import duplicate_notes, latest, order
from ltbench.report.records.names import digest, distribution_order
from ltbench.report.records.schema import (
    Diagnostics,
    Distribution,
    Draw,
    Evaluation,
    Failure,
    Training,
)
from ltbench.report.rows.summary import Summary, mean_of, summarise
from ltbench.trial.endings import ENDINGS

Places = Counter[tuple[str, int]]
"""Test set and seed, and how many of its draws."""
_ENCODER = msgspec.json.Encoder()
STATUS_ORDER = tuple(ENDINGS)


@dataclass(frozen=True, order=True)
class RowKey:
    """Results are averaged over seeds only where all of this is equal."""

    label: str
    method: str
    method_params: str
    strategy: str
    strategy_params: str
    version: str
    code: str
    imported: bool
    versions: str
    rules: str
    recipe: str
    hyper: str
    experts: int
    parameters: str


@dataclass(frozen=True)
class Row:
    """``results[distribution][seed]``; no results at all where every trial failed."""

    label: str
    method: str
    training: Training
    recipe: str = ""
    uses_true_prior: bool = False
    experts: int = 0
    parameters: int | None = None
    results: dict[str, dict[int, Distribution]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    biases: dict[int, BiasEstimate] = field(default_factory=dict)
    """Per seed, where the row stands on an estimate of the prior in the logits."""
    first_draw_only: bool = False
    strategy: str = ""
    undecided: tuple[int, ...] = ()
    """Seeds with records of different numbers of which no clock tells the latest."""

    @property
    def is_own(self) -> bool:
        """A method as its paper has it: its own strategy, no setting changed."""
        return self.label == self.method

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted({seed for found in self.results.values() for seed in found}))

    def per_seed(
        self, distribution: str, pick: Callable[[Draw], float | None]
    ) -> dict[int, float | None]:
        """The mean over draws of what ``pick`` takes from each draw, for every seed.

        Kept where ``pick`` is a plain function: several tables and figures ask for the same.
        """
        if getattr(pick, "__closure__", pick) is not None:
            return self._means(distribution, pick)
        key = (distribution, pick)
        if key not in self._picked:
            self._picked[key] = self._means(distribution, pick)
        return self._picked[key]

    def _means(
        self, distribution: str, pick: Callable[[Draw], float | None]
    ) -> dict[int, float | None]:
        found = self.results.get(distribution, {})
        return {s: mean_of([pick(draw) for draw in found[s].draws]) for s in sorted(found)}

    @cached_property
    def _picked(
        self,
    ) -> dict[tuple[str, Callable[[Draw], float | None]], dict[int, float | None]]:
        return {}

    @cached_property
    def _top1(self) -> dict[str, dict[int, float | None]]:
        return {
            name: {seed: found[seed].top1 for seed in sorted(found)}
            for name, found in self.results.items()
        }

    def top1(self, distribution: str) -> dict[int, float | None]:
        """``per_seed`` of the top-1 accuracy, kept: most tables and figures ask for it."""
        return self._top1.get(distribution, {})

    def cell(self, distribution: str, pick: Callable[[Draw], float | None]) -> Summary | None:
        return summarise(self.per_seed(distribution, pick).values())

    @cached_property
    def latest(self) -> dict[int, Evaluation]:
        """Per seed the record that counts."""
        return {e.seed: e for e in self.evaluations}

    def n_draws(self, distribution: str) -> set[int]:
        return self._n_draws.get(distribution, set())

    @cached_property
    def _n_draws(self) -> dict[str, set[int]]:
        return {
            name: {len(found.draws) for found in by_seed.values()}
            for name, by_seed in self.results.items()
        }

    @cached_property
    def diagnostics(self) -> list[tuple[Diagnostics, Places]]:
        """What its strategy told, each once: thousands of draws tell the same."""
        found: dict[bytes, tuple[Diagnostics, Places]] = {}
        for name, by_seed in self.results.items():
            for seed, distribution in by_seed.items():
                for draw in distribution.draws:
                    if (told := draw.diagnostics) is not None:
                        text = _ENCODER.encode(told)  # values of any kind: 1 is not True
                        if text not in found:
                            found[text] = told, Counter()
                        found[text][1][name, seed] += 1
        return list(found.values())

    def told_where(self, fact: Callable[[Diagnostics], bool] = lambda told: True) -> Places:
        """Where draws have diagnostics with ``fact``."""
        found: Places = Counter()
        for told, places in self.diagnostics:
            if fact(told):
                found.update(places)
        return found

    @cached_property
    def kept(self) -> dict[str, object]:
        """What statistics keep of the row under a name of theirs, where several tables ask for it."""
        return {}

    def failure_text(self) -> str:
        """``"1/3 diverged"``: of all seeds that were tried, those that have no result."""
        failed = {failure.seed: failure.status for failure in self.failures}
        total = len(failed.keys() | set(self.seeds))
        counts = [
            (sum(status == known for status in failed.values()), known) for known in STATUS_ORDER
        ]
        return ", ".join(f"{n}/{total} {status}" for n, status in counts if n)


def build_rows(
    evaluations: Iterable[Evaluation], failures: Iterable[Failure]
) -> tuple[list[Row], list[str]]:
    """Rows in the order of their labels, and notes on what was left out."""
    grouped: dict[RowKey, list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        grouped[_key(evaluation)].append(evaluation)
    labels = _labels(list(grouped))
    notes: list[str] = []
    rows = [_row(labels[key], members, notes) for key, members in sorted(grouped.items())]
    return _with_failures(rows, list(failures)), notes


def _key(e: Evaluation) -> RowKey:
    training = e.trial.training
    return RowKey(
        label=e.label,
        method=e.method,
        method_params=e.method_params,
        strategy=e.strategy,
        strategy_params=e.strategy_params,
        version=training.version,
        code="/".join((training.digest or "", e.method_digest, e.strategy_digest)),
        imported=training.origin == "imported",
        versions=e.versions,
        rules=e.trial.rules,
        recipe=e.recipe,
        hyper=training.hyper,
        experts=e.experts,
        parameters="unknown" if e.parameters is None else f"{e.parameters:,}",
    )


def _labels(keys: list[RowKey]) -> dict[RowKey, str]:
    """Each key's label, followed by what differs where several keys share one."""
    labels: dict[RowKey, str] = {}
    for key in keys:
        same = [other for other in keys if other.label == key.label]
        parts = [
            (key.method_params, [o.method_params for o in same]),
            (key.strategy, [o.strategy for o in same]),
            (key.strategy_params, [o.strategy_params for o in same]),
            (f"v{key.version}", [f"v{o.version}" for o in same]),
            (f"code {digest(key.code)}", [f"code {digest(o.code)}" for o in same]),
            (_source(key), [_source(o) for o in same]),
            (
                f"method/strategy version {key.versions}",
                [f"method/strategy version {o.versions}" for o in same],
            ),
            (f"rules {digest(key.rules)}", [f"rules {digest(o.rules)}" for o in same]),
            (f"recipe {digest(key.recipe)}", [f"recipe {digest(o.recipe)}" for o in same]),
            (f"settings {digest(key.hyper)}", [f"settings {digest(o.hyper)}" for o in same]),
            (f"{key.experts} experts", [f"{o.experts} experts" for o in same]),
            (f"{key.parameters} parameters", [f"{o.parameters} parameters" for o in same]),
        ]
        differing = [own or "default" for own, others in parts if len(set(others)) > 1]
        labels[key] = f"{key.label} ({', '.join(differing)})" if differing else key.label
    return labels


def _source(key: RowKey) -> str:
    return "imported" if key.imported else "trained"


def _row(label: str, evaluations: list[Evaluation], notes: list[str]) -> Row:
    """Where a seed was evaluated more than once, the latest record counts and a note says so."""
    evaluations = sorted(evaluations, key=lambda e: (e.seed, *order(e.created, e.evaluation)))
    found: dict[tuple[str, int], list[tuple[str, Distribution]]] = defaultdict(list)
    for e in evaluations:
        for distribution in e.distributions:
            found[distribution.name, e.seed].append((e.created, distribution))
    results: dict[str, dict[int, Distribution]] = {}
    replaced: set[int] = set()
    undecided: set[int] = set()
    for (name, seed), records in found.items():
        one = latest(records, lambda r: r[0], lambda r, other: r[1].same_scores(other[1]))
        results.setdefault(name, {})[seed] = one.record[1]
        replaced |= {seed} if one.replaced else set()
        undecided |= {seed} if one.undecided else set()
    notes += duplicate_notes(label, replaced, undecided)
    first = evaluations[0]
    places = {d.name: distribution_order(d.name, d.kind, d.ratio) for d in first.distributions}
    return Row(
        label=label,
        method=first.method,
        training=first.trial.training,
        recipe=first.recipe,
        uses_true_prior=first.uses_true_prior,
        experts=first.experts,
        parameters=first.parameters,
        results={n: results[n] for n in sorted(results, key=lambda n: places.get(n, (9, 0.0, n)))},
        evaluations=tuple(evaluations),
        biases={e.seed: e.bias for e in evaluations if e.bias is not None},
        first_draw_only=first.first_draw_only,
        strategy=first.strategy,
        undecided=tuple(sorted(undecided)),
    )


def _with_failures(rows: list[Row], failures: list[Failure]) -> list[Row]:
    """Attaches failed trainings to the rows they belong to; the rest become rows of their own."""
    attached = []
    for row in rows:
        alike = [other for other in rows if other.training.matches(row.training)]
        # A seed that has a result was tried again with success.
        done = {seed for other in alike for seed in other.seeds}
        own = [f for f in failures if f.training.matches(row.training) and f.seed not in done]
        attached.append(replace(row, failures=tuple(own)))
    known = [row.training for row in rows]
    rest: dict[Training, list[Failure]] = defaultdict(list)
    for failure in failures:
        if not any(failure.training.matches(training) for training in known):
            rest[failure.training].append(failure)
    for training, failed in rest.items():
        label = _failed_label(training, known)
        if any(row.label == label for row in attached):
            code = f"code {training.digest[:8]}" if training.digest else "code not told"
            label = f"{label} (v{training.version or '?'}, {code})"
        attached.append(Row(label, training.name, training, failures=tuple(failed)))
    return sorted(attached, key=lambda row: row.label)


def _failed_label(training: Training, known: list[Training]) -> str:
    """The training's name, with the settings no other training of that name has."""
    others = [json.loads(other.hyper) for other in known if other.name == training.name]
    own = json.loads(training.hyper)
    differing = [
        f"{key}={value}"
        for key, value in sorted(own.items())
        if others and any(other.get(key) != value for other in others)
    ]
    return f"{training.name}[{','.join(differing)}]" if differing else training.name
