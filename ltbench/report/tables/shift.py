"""Tables over the test distributions: whole methods, and the pieces that such tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ltbench.report.records.schema import Draw
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary, mean_of, tied
from ltbench.report.statistics.regret import mean_regret, oracles
from ltbench.report.tables.captions import caption, marked, row_notes, shift_legend
from ltbench.report.tables.images_told import images_told, left_out_told
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.marks import Marks, Pick
from ltbench.report.tables.order import Group, blocks_of, groups_by_mean, groups_of
from ltbench.report.tables.table import MISSING, Block, Column, Shown, Table, Value

LABEL = Column("method", "Method", text=True)
PARAMETERS = Column("parameters", "Params", plain=True)
SEEDS = Column("n", "n", plain=True)
EXPERT = Column("expert", "Expert", plain=True)


def blocks(
    section: Section,
    lines: Callable[[Row], Iterator[tuple[Value, ...]]],
    rows: Sequence[Row] | None = None,
) -> tuple[Block, ...]:
    """Blocks by ``section.group_by``; rows that know the true test prior in one of their own.

    rows: those to show; default all of the section.
    """
    return blocks_of(groups_of(section.rows if rows is None else rows, section.group_by), lines)


def top1(draw: Draw) -> float | None:
    return draw.top1


def seeds_of(cells: Sequence[Value]) -> Value:
    """The number of seeds behind a row; a span where its cells differ, stored as its low end."""
    found = sorted({cell.n for cell in cells if isinstance(cell, Summary)})
    if len(found) > 1:
        return Shown(f"{found[0]}–{found[-1]}", found[0])
    return found[0] if found else 0


MEAN = Column("mean", "Mean", explained=" Mean is over the distributions of a seed first.")
WORST = Column("worst", "Worst", explained=" Worst is the lowest cell.")
REGRET = Column(
    "regret",
    "Regret",
    explained=" Regret: points behind the oracle of the same trial, which knows the true test prior;"
    f" {MISSING} where the bias of the training posterior is unknown or not fitted."
    " It can be negative: with overconfident posteriors the oracle is no upper bound.",
)

_UNDERLINED = " Underlined: the highest of its block, which may be chance."


def columns_of(tests: Sequence[TestSet], digits: int = 1) -> tuple[Column, ...]:
    return tuple(Column(test.name, test.short, digits) for test in tests)


def main_table(section: Section, ltbench_version: str) -> Table | None:
    """Methods by test distributions, their mean, the worst of them, and the regret.

    What adapts stands apart from what does not, each by descending mean, unless blocks were asked
    for.
    """
    tests = section.shifts
    if not tests:
        return None
    known = oracles(section.everything)
    regrets = mean_regret(known, tests)
    several = len(tests) > 1
    picks: list[Pick] = [at(test.name) for test in tests]
    ends: list[Column] = []
    if several:
        picks += [mean_over(tests), worst(tests)]
        ends += [MEAN, WORST]
    if any(regrets(row) for row in section.rows):
        picks.append(regrets)
        ends.append(REGRET)
    lower = frozenset([len(picks) - 1] if picks[-1] is regrets else [])
    marks = Marks(section.rows, picks, lower)
    columns = [*columns_of(tests), *ends]
    place = len(tests) if several else 0  # of the mean, or of the only distribution
    groups: Sequence[Group] = groups_of(section.rows, section.group_by)
    if not section.group_by:
        groups = groups_by_mean(section.rows, picks[place])
    if marks.underline([group.rows for group in groups], place):
        column = columns[place]
        columns[place] = replace(column, explained=column.explained + _UNDERLINED)

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = marks.cells(row)
        yield (marked(row), row.parameters, seeds_of(cells[: len(tests)]), *cells)

    what = f"Top-1 accuracy (%) on the test label distributions ({shift_legend(tests)}) of"
    text = caption(section, what, section.rows, tests, ltbench_version)
    text += images_told(section.rows, tests) + left_out_told(section)
    text += "".join(column.explained for column in columns)
    return Table(
        name="main",
        title="Top-1 accuracy over test label distributions",
        caption=text + marks.caption(),
        columns=(LABEL, PARAMETERS, SEEDS, *columns),
        blocks=blocks_of(groups, lines),
        notes=(
            *row_notes(section, section.rows),
            *marks.notes(section.rows, "Mean" if several else tests[0].short, picks[place]),
        ),
    )


def at(test: str, pick: Callable[[Draw], float | None] = top1) -> Pick:
    return lambda row: row.top1(test) if pick is top1 else row.per_seed(test, pick)


def mean_over(tests: Sequence[TestSet]) -> Pick:
    """Only of seeds that have every distribution: means over different sets do not compare."""

    def pick(row: Row) -> dict[int, float | None]:
        per_test = [row.top1(test.name) for test in tests]
        complete = [seed for seed in row.seeds if all(seed in found for found in per_test)]
        return {seed: mean_of(found[seed] for found in per_test) for seed in complete}

    return pick


def worst(tests: Sequence[TestSet]) -> Pick:
    """The values of the distribution with the lowest mean; none where one is missing."""

    def pick(row: Row) -> dict[int, float | None]:
        found = [row.top1(test.name) for test in tests]
        means = [mean_of(values.values()) for values in found]
        present = [mean for mean in means if mean is not None]
        if len(present) < len(tests):
            return {}
        lowest = min(present)
        return next(v for v, mean in zip(found, present, strict=True) if tied(mean, lowest))

    return pick


def partial_table(section: Section, ltbench_version: str) -> Table | None:
    """Test sets with some of the classes only, and any other that is no shift."""
    tests = section.others
    if not tests:
        return None

    marks = Marks(section.rows, [at(test.name) for test in tests])

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = marks.cells(row)
        yield (marked(row), seeds_of(cells), *cells)

    natural = any(test.kind == "natural" for test in tests)
    also = " and on the test set as found (natural)" if natural else ""
    what = f"Top-1 accuracy (%) on test sets with some of the classes only{also}, of"
    return Table(
        name="partial",
        title="Partial-class test sets" + (", and the test set as found" if natural else ""),
        caption=caption(section, what, section.rows, tests, ltbench_version)
        + _all_classes(section, tests)
        + marks.caption(),
        columns=(LABEL, SEEDS, *columns_of(tests)),
        blocks=blocks(section, lines),
        notes=(
            *row_notes(section, section.rows),
            *marks.notes(section.rows, tests[0].short, at(tests[0].name)),
        ),
    )


def _all_classes(section: Section, tests: Sequence[TestSet]) -> str:
    """Why a set of one group may not have the numbers of ``uniform`` where both have all classes."""
    for group, classes in section.groups.items():
        name = f"{group}-only"
        if len(classes) == len(section.rank) and any(test.name == name for test in tests):
            return (
                f" {name} holds all classes, as uniform does, in other draws or another order of arrival:"
                " rows that adapt may differ there."
            )
    return ""


TABLES = (
    TableKind(10, main_table),
    TableKind(60, partial_table),
)
