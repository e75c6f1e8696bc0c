"""Tables on adaptation: what it won or lost, and accuracies without the noise of a draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ltbench.report.records.schema import Draw
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import mean_of, summarise
from ltbench.report.statistics.adaptation import Comparison, comparisons
from ltbench.report.statistics.regret import oracles
from ltbench.report.tables.captions import caption, marked, mixes_told, row_notes, shift_legend
from ltbench.report.tables.diagnostics import detail_notes
from ltbench.report.tables.infinite import infinite_notes
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.order import adapts
from ltbench.report.tables.shift import LABEL, SEEDS, at, blocks, columns_of, seeds_of
from ltbench.report.tables.table import Block, Column, Shown, Table, Value

Cases = Mapping[str, Mapping[int, Comparison]]
_COLUMNS = (
    Column("test", "Test", text=True),
    SEEDS,
    Column("unadapted", "Un-adapted"),
    Column("adapted", "Adapted"),
    Column("gain", "Gain"),
    Column("regret", "Regret"),
    Column("prior_l1", "Prior L1", 2),
    Column("prior_kl", "Prior KL", 2),
    Column("collapsed", "Collapsed"),
)


def adaptation_table(section: Section, ltbench_version: str) -> Table | None:
    """Rows that adapt, beside ``none`` and ``oracle`` of the same trials."""
    tests, mixes = section.shifts, section.mixes
    rows = [row for row in section.rows if adapts(row)]
    if not rows or not tests:
        return None
    known = oracles(section.everything)

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cases = {test.name: comparisons(row, section, known, test.name) for test in tests}
        for test in ends_of(tests):
            yield (marked(row), test.short, *_cells({test.name: cases[test.name]}))
        if len(tests) > 1:
            yield (marked(row), f"all {len(tests)}", *_cells(cases))
        for mix in mixes:
            if found := comparisons(row, section, known, mix.name):
                yield (marked(row), mix.short, *_cells({mix.name: found}))

    what = f"What adapting won or lost in top-1 accuracy (%) ({shift_legend(tests)}) on"
    explained = (
        " Un-adapted: none of the same trial and draws. Regret: what the oracle has more."
        " Prior L1, KL (nats, true || estimated): error of the estimated label distribution."
        " Collapsed: seeds (all: seeds times test sets) in which adapting lost more than two"
        " standard errors, paired on the images of draw 0 (McNemar)."
    )
    return Table(
        name="adaptation",
        title="What test-time adaptation won or lost",
        caption=caption(section, what, rows, tests, ltbench_version)
        + explained
        + mixes_told(mixes),
        columns=(LABEL, *_COLUMNS),
        blocks=tuple(Block(tuple(lines(row))) for row in rows),
        notes=(
            *infinite_notes(
                rows,
                "Prior KL",
                {t.short: at(t.name, prior_kl) for t in (*tests, *mixes)},
            ),
            *detail_notes(section, rows),
            *row_notes(section, rows),
        ),
    )


def prior_kl(draw: Draw) -> float | None:
    return draw.prior_kl


def ends_of(tests: Sequence[TestSet]) -> list[TestSet]:
    """The strongest forward set, uniform, and the strongest backward set."""
    forward = [test for test in tests if test.kind == "forward"][:1]
    backward = [test for test in tests if test.kind == "backward"][-1:]
    return [*forward, *(test for test in tests if test.kind == "uniform"), *backward]


def _cells(cases: Cases) -> tuple[Value, ...]:
    seeds = sorted(set.intersection(*(set(found) for found in cases.values())))

    def cell(pick: Callable[[Comparison], float | None]) -> Value:
        values = []
        for seed in seeds:
            numbers = [pick(found[seed]) for found in cases.values()]
            # A mean over some of the test sets is another quantity than one over all.
            values.append(None if None in numbers else mean_of(numbers))
        return summarise(values)

    picks: tuple[Callable[[Comparison], float | None], ...] = (
        lambda case: case.plain,
        lambda case: case.adapted,
        lambda case: case.gain,
        lambda case: case.regret,
        lambda case: case.prior_l1,
        lambda case: case.prior_kl,
    )
    cells = [cell(pick) for pick in picks]
    flags = [case.collapsed for found in cases.values() for case in found.values()]
    known = [flag for flag in flags if flag is not None]
    return (seeds_of(cells[1:2]), *cells, _share(known))


def _share(flags: Sequence[bool]) -> Value:
    n, of = sum(flags), len(flags)
    return Shown(f"{n}/{of}", n, of) if flags else None


FEW_IMAGES = 3
"""Test images of the largest class up to which drawn sets tell so little that re-weighting leads."""


def leading_exact_table(section: Section, ltbench_version: str) -> Table | None:
    """:func:`exact_table` before all others, where each class has a few test images only."""
    most = _most_test_images(section)
    table = exact_table(section, ltbench_version) if most is not None else None
    if table is None:
        return None
    told = (
        f" This table leads because no class has more than {most} test images: a drawn set has 0 to {most}"
        " images of a class, so that its ratio is that of few classes to the rest, and what is drawn moves"
        " accuracies by more than methods differ; here every test image counts."
    )
    return replace(table, caption=table.caption + told)


def later_exact_table(section: Section, ltbench_version: str) -> Table | None:
    """:func:`exact_table` where it does not lead."""
    return exact_table(section, ltbench_version) if _most_test_images(section) is None else None


def _most_test_images(section: Section) -> int | None:
    """Test images of the largest class where these are at most :data:`FEW_IMAGES`; None where more, or
    where no record tells."""
    found = (d for row in section.rows for d in row.results.get(section.uniform or "", {}).values())
    most = max((max(d.pool or d.counts or (0,)) for d in found), default=0)
    return most if 0 < most <= FEW_IMAGES else None


def exact_table(section: Section, ltbench_version: str) -> Table | None:
    """Accuracy under the realised counts from all test images, of fixed and frozen predictors.

    Per draw ``sum_c pi_c a_c``, pi the realised class frequencies of the stored test set and a_c the
    recall on all test images of class c. The page's shift control takes the ideal prior instead.
    """
    tests = (*section.shifts, *section.mixes)
    rows = [row for row in section.rows if _exact_tests(row, tests)]
    if not rows:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = [row.cell(test.name, _exact) for test in tests]
        errors = [row.cell(test.name, _error) for test in tests]
        largest = max((error.mean for error in errors if error is not None), default=None)
        yield (marked(row), seeds_of(cells), *cells, summarise([largest]))

    what = (
        "Top-1 accuracy (%) re-weighted to the realised class counts of each test label distribution"
        f" ({shift_legend(tests)}), from the recalls of each row's frozen predictor on all test images"
        " of"
    )
    explained = (
        " Of a fixed classifier it is what the mean over all draws tends to; what adapts is frozen"
        " after each draw and also scored on images that it did not adapt on. Realised counts are whole"
        " numbers of images: under the ideal prior, as on the page's shift control, values differ a"
        " little. SE: standard error from"
        " the finite test set, given the predictor; the largest of the row."
    )
    return Table(
        name="exact",
        title="Accuracy re-weighted to the realised counts, from all test images",
        caption=caption(section, what, rows, tests, ltbench_version)
        + explained
        + mixes_told(section.mixes),
        columns=(LABEL, SEEDS, *columns_of(tests), Column("se", "SE", 2)),
        blocks=blocks(section, lines, rows),
        notes=row_notes(section, rows),
    )


def _exact_tests(row: Row, tests: Sequence[TestSet]) -> bool:
    return any(row.cell(test.name, _exact) is not None for test in tests)


def _exact(draw: Draw) -> float | None:
    return draw.exact_top1


def _error(draw: Draw) -> float | None:
    return draw.exact_se


TABLES = (
    TableKind(90, adaptation_table),
    TableKind(5, leading_exact_table),
    TableKind(100, later_exact_table),
)
