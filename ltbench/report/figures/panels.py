"""Which rows stand together in a panel: those of one training, a few at most."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ltbench.report.records.names import listed
from ltbench.report.records.schema import Training
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import TestSet
from ltbench.report.rows.summary import mean_of
from ltbench.report.statistics.regret import EXACT_ENOUGH, ORACLE
from ltbench.report.tables.shift import mean_over

LINES = 6  # in one panel: more can not be followed
PANELS = 6
_STEM = re.compile(r"(?:\[[^]]*\]|[^+\[])+")  # up to the first "+" outside brackets


@dataclass(frozen=True)
class Panel:
    """``rows`` of one training, in the order of their labels; a post-hoc method is with its training."""

    title: str
    rows: tuple[Row, ...]

    def name(self, row: Row) -> str:
        """What tells the row from the others of the panel: mostly the strategy."""
        if row.label == self.title:
            return row.strategy or row.label
        return row.label.removeprefix(f"{self.title}+")


def mean_accuracy(row: Row, tests: Sequence[TestSet]) -> float:
    """Over the distributions, then seeds; below all others where a distribution is missing."""
    mean = mean_of(mean_over(tests)(row).values())
    return -1.0 if mean is None else round(mean, 9)


def drawable(rows: Sequence[Row]) -> list[Row]:
    """Rows with results, without an oracle whose prior of the training posterior is a guess."""
    return [row for row in rows if row.seeds and (not row.uses_true_prior or _exact(row))]


def _exact(row: Row) -> bool:
    return all(evaluation.bias_kind in EXACT_ENOUGH for evaluation in row.evaluations)


def panels_of(rows: Sequence[Row], tests: Sequence[TestSet]) -> list[Panel]:
    """One per training, at most :data:`LINES` rows in each, at most :data:`PANELS` of them."""
    grouped: dict[Training, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.training, []).append(row)
    best = sorted(
        grouped.values(), key=lambda found: -max(mean_accuracy(row, tests) for row in found)
    )[:PANELS]
    panels = [Panel(_title(found), leading(found, tests)) for found in best]
    titles = [panel.title for panel in panels]
    panels = [p if titles.count(p.title) == 1 else Panel(p.rows[0].label, p.rows) for p in panels]
    return sorted(panels, key=lambda panel: panel.title)


def _title(rows: Sequence[Row]) -> str:
    """The training's own row where there is one, else what stands before the strategy."""
    name = rows[0].training.name
    own = [row.label for row in rows if row.method == name and row.is_own]
    stems = [found.group() for row in rows if (found := _STEM.match(row.label))]
    same = [stem for stem in stems if stem.startswith(name)]
    return (own or sorted(same or stems, key=lambda stem: (len(stem), stem)) or [name])[0]


def leading(rows: Sequence[Row], tests: Sequence[TestSet], most: int = LINES) -> tuple[Row, ...]:
    """The plain row and the method's own, one oracle, then those with the best mean.

    Strategies with changed settings come after all others: that they differ from each other less is
    no reason to see three of one kind.
    """
    told = sorted(
        (row for row in rows if row.uses_true_prior),
        key=lambda row: (row.strategy != ORACLE, len(row.label), row.label),
    )[:1]
    others = sorted(
        (row for row in rows if not row.uses_true_prior),
        key=lambda row: (
            row.strategy != "none" or row.method != row.training.name,
            not row.is_own,
            _changed(row),
            -mean_accuracy(row, tests),
            row.label,
        ),
    )
    chosen = {row.label for row in [*others[: most - len(told)], *told]}
    return tuple(row for row in rows if row.label in chosen)


def _changed(row: Row) -> bool:
    return any(evaluation.strategy_params for evaluation in row.evaluations)


def left_out(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    """A sentence, empty where nothing is left out."""
    drawn = {row.label for row in shown}
    missing = [row.label for row in rows if row.label not in drawn]
    if not missing:
        return ""
    if len(missing) > 4:
        return f" Shown are {len(rows) - len(missing)} of {len(rows)} rows; the tables have all."
    return f" Not shown: {listed(missing, len(rows))}; the tables have all."
