"""Table of pairwise differences over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary, mean_of
from ltbench.report.statistics.comparison import ALPHA, Difference, holm, paired
from ltbench.report.tables.captions import caption, marked
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import SEEDS, at, mean_over
from ltbench.report.tables.table import Block, Column, Shown, Table, Value

_DIGITS = 9  # equal means stay in the order of their rows
ALL_PAIRS = 12  # rows; with more, each row is compared with the best one and the next in order


def pairs_table(section: Section, ltbench_version: str) -> Table | None:
    """First minus second in the mean over distributions and at the ends of the spectrum."""
    tests = section.shifts
    rows = [row for row in section.rows if row.seeds and not row.uses_true_prior]
    if len(rows) < 2 or not tests:
        return None
    means = {row.label: mean_over(tests)(row) for row in rows}
    ordered = sorted(
        rows, key=lambda row: -round(mean_of(means[row.label].values()) or 0.0, _DIGITS)
    )
    found = [
        (a, b, difference)
        for a, b in _pairs(ordered)
        if (difference := paired(means[a.label], means[b.label])) is not None
    ]
    if not found:
        return None
    tested = [d.p for _, _, d in found if d.p is not None]
    adjusted = iter(holm(tested))
    ends = [tests[0], tests[-1]] if len(tests) > 1 else []
    lines: list[tuple[Value, ...]] = []
    for a, b, difference in found:
        p = None if difference.p is None else p_value(next(adjusted))
        at_ends = [_cell(paired(at(t.name)(a), at(t.name)(b))) for t in ends]
        share = 100.0 * _improvement(a, b, tests)
        improvement = Summary(share, None, difference.n)
        line = (marked(a), marked(b), difference.n, _cell(difference), p, improvement, *at_ends)
        lines.append(line)
    what = "Paired differences of top-1 accuracy (points, first minus second) on"
    few = "" if len(rows) <= ALL_PAIRS else " Each method against the best and the next one only."
    return Table(
        name="pairs",
        title="Pairwise differences",
        caption=caption(section, what, rows, tests, ltbench_version)
        + " Mean: over the distributions. p: paired t test over seeds, Holm's correction over the"
        f" {len(tested)} tests of this table (below {ALPHA:g} can be told apart). P(better): share"
        " of the distributions and seeds in which the first is better, ties half." + few,
        columns=(
            Column("method", "First", text=True),
            Column("second", "Second", text=True),
            SEEDS,
            Column("difference", "Mean", digits=2),
            Column("p", "p (Holm)", plain=True),
            Column("improvement", "P(better) %", digits=0),
            *[Column(t.name, t.short, digits=2) for t in ends],
        ),
        blocks=(Block(tuple(lines)),),
    )


def _pairs(ordered: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    if len(ordered) <= ALL_PAIRS:
        yield from combinations(ordered, 2)
        return
    yield from ((ordered[0], other) for other in ordered[1:])
    yield from pairwise(ordered[1:])


def _cell(difference: Difference | None) -> Summary | None:
    if difference is None:
        return None
    return Summary(difference.mean, difference.half_width, difference.n)


def _improvement(a: Row, b: Row, tests: Sequence[TestSet]) -> float:
    found = [paired(at(test.name)(a), at(test.name)(b)) for test in tests]
    return mean_of(d.probability for d in found if d is not None) or 0.0


def p_value(p: float) -> Shown:
    return Shown("<0.001" if p < 0.001 else f"{p:.3f}", p)


TABLES = (TableKind(140, pairs_table),)
