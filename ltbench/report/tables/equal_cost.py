"""Table of expert methods beside ensembles of plain networks that cost about as much to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ltbench.names import format_call
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, mean_of, summarise
from ltbench.report.statistics.comparison import ALPHA, PerSeed, holm, paired
from ltbench.report.tables.captions import caption, marked, row_notes, shift_legend
from ltbench.report.tables.cost import macs
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.pairs import p_value
from ltbench.report.tables.shift import LABEL, SEEDS, mean_over
from ltbench.report.tables.table import Block, Column, Table, Value

Cost = Callable[[Row], float | None]


@dataclass(frozen=True)
class _Line:
    """A row of the table; the first of its block is what the others are compared with."""

    row: Row
    cost: float
    mean: PerSeed
    partial: PerSeed
    first: _Line | None = None


def equal_cost_table(section: Section, ltbench_version: str) -> Table | None:
    """A block per expert method: with its own strategy, then the nearest ensembles with all of theirs.

    Nothing is chosen by accuracy: which ensembles stand there is a matter of their cost alone.
    """
    tests = section.shifts
    experts = [row for row in section.rows if _of_experts(row)]
    plain = [row for row in section.rows if _of_plain_networks(row)]
    if not tests or not experts or not plain:
        return None
    by_macs = all(macs(row) is not None for row in (*experts, *plain))
    cost: Cost = macs if by_macs else _parameters
    unit = _one_network(plain, cost)
    if unit is None:
        return None
    parts = [test for test in section.others if test.kind == "partial"]
    means, partials = mean_over(tests), mean_over(parts)

    def line(row: Row, first: _Line | None = None) -> _Line:
        partial = partials(row) if parts else {}
        return _Line(row, (cost(row) or 0.0) / unit, means(row), partial, first)

    found: list[list[_Line]] = []
    for row in experts:
        first = line(row)
        beside = _nearest(first.cost, [line(other, first) for other in plain])
        if first.mean and beside:
            found.append([first, *beside])
    if not found:
        return None
    adjusted = _adjusted([one for block in found for one in block])
    partial = any(one.partial for block in found for one in block)
    shown = [one.row for block in found for one in block]
    what = "multiply-accumulates of one image" if by_macs else "parameters"
    return Table(
        name="equal-cost",
        title="At equal inference cost: expert methods and ensembles of plain networks",
        caption=caption(
            section,
            f"Mean top-1 accuracy (%) over the distributions ({shift_legend(tests)}) of expert methods,"
            " with their own strategy, each followed by the ensembles of plain networks (one expert)"
            " nearest below and above in cost, with every strategy that is there, on",
            shown,
            tests,
            ltbench_version,
        )
        + f" Cost: {what}, of all members together, relative to one of the plain"
        " networks"
        + ("" if by_macs else " (multiply-accumulates are not in all records)")
        + "; what a strategy computes besides, such as two views of each image for stability, is not in"
        " it."
        + (" Partial: mean over the partial-class sets." if partial else "")
        + " Difference: in Mean, to the first row of the block, over the seeds that both have (Pairs;"
        " replicate r of an ensemble with seed r; with none, the difference of the means). n of an"
        " ensemble counts replicates, which share no network."
        + _tests_text([p for p in adjusted.values() if p is not None]),
        columns=(
            LABEL,
            Column("cost", "Cost", digits=2, plain=True),
            SEEDS,
            Column("mean", "Mean"),
            *([Column("partial", "Partial")] if partial else []),
            Column("difference", "Difference", digits=2),
            Column("pairs", "Pairs", plain=True),
            Column("p", "p (Holm)", plain=True),
        ),
        blocks=tuple(
            Block(tuple(_cells(one, adjusted[id(one)], partial=partial) for one in block))
            for block in found
        ),
        notes=row_notes(section, shown),
    )


def _of_experts(row: Row) -> bool:
    """A network with several experts, with its own strategy."""
    latest = list(row.latest.values())
    if not latest or row.uses_true_prior or row.experts < 2 or latest[0].trial.members:
        return False
    return latest[0].label == format_call(latest[0].method, latest[0].method_params)


def _of_plain_networks(row: Row) -> bool:
    latest = list(row.latest.values())
    return bool(latest) and not row.uses_true_prior and latest[0].trial.members == row.experts


def _parameters(row: Row) -> float | None:
    return None if row.parameters is None else float(row.parameters)


def _one_network(plain: Sequence[Row], cost: Cost) -> float | None:
    """What the cheapest plain network costs."""
    costs = [(cost(row), row.experts) for row in plain]
    return min((total / n for total, n in costs if total), default=None)


def _nearest(cost: float, plain: Sequence[_Line]) -> list[_Line]:
    """The dearest that cost no more and the cheapest that cost more; all of one cost."""
    if not cost:
        return []
    below = max((one.cost for one in plain if 0.0 < one.cost <= cost * _SAME), default=None)
    above = min((one.cost for one in plain if one.cost > cost * _SAME), default=None)
    return [
        one
        for place in (below, above)
        if place is not None
        for one in plain
        if place / _SAME <= one.cost <= place * _SAME
    ]


_SAME = 1.0 + 1e-6


def _adjusted(lines: Sequence[_Line]) -> Mapping[int, float | None]:
    raw = {id(one): _paired_p(one) for one in lines}
    corrected = iter(holm([p for p in raw.values() if p is not None]))
    return {key: None if p is None else next(corrected) for key, p in raw.items()}


def _tests_text(tested: Sequence[float]) -> str:
    if not tested:
        return " No p: nowhere three pairs."
    return (
        f" p: paired t test, Holm's correction over the {len(tested)} tests of this table (below"
        f" {ALPHA:g} can be told apart); none below three pairs."
    )


def _paired_p(one: _Line) -> float | None:
    found = None if one.first is None else paired(one.mean, one.first.mean)
    return None if found is None else found.p


def _cells(one: _Line, p: float | None, *, partial: bool) -> tuple[Value, ...]:
    cells: list[Value] = [marked(one.row), Summary(one.cost, None, 0), len(one.row.seeds)]
    cells.append(summarise(one.mean.values()))
    if partial:
        cells.append(summarise(one.partial.values()))
    difference, pairs = _difference(one)
    return (*cells, difference, pairs, None if p is None else p_value(p))


def _difference(one: _Line) -> tuple[Value, Value]:
    if one.first is None:
        return None, None
    found = paired(one.mean, one.first.mean)
    if found is not None:
        return Summary(found.mean, found.half_width, found.n), found.n
    mine, theirs = mean_of(one.mean.values()), mean_of(one.first.mean.values())
    if mine is None or theirs is None:
        return None, 0
    return Summary(mine - theirs, None, 0), 0


TABLES = (TableKind(145, equal_cost_table),)
