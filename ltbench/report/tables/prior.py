"""Table of estimated test priors, summed over the class groups, beside the true ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ltbench.report.records.schema import GROUPS, Draw
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.captions import caption, marked, row_notes, shift_legend
from ltbench.report.tables.diagnostics import detail_notes
from ltbench.report.tables.shift import LABEL, SEEDS, columns_of, seeds_of
from ltbench.report.tables.table import Block, Column, Table, Value


def estimating_rows(section: Section) -> list[Row]:
    """Rows that estimate a prior; those that are told it estimate nothing."""
    return [
        row
        for row in section.rows
        if not row.uses_true_prior
        and any(
            draw.prior is not None
            for found in row.results.values()
            for distribution in found.values()
            for draw in distribution.draws
        )
    ]


def true_prior(section: Section, name: str) -> tuple[float, ...] | None:
    """``(C,)`` from the counts of the test set, which every row of a section shares."""
    for row in section.everything:
        for distribution in row.results.get(name, {}).values():
            if distribution.counts and sum(distribution.counts):
                total = sum(distribution.counts)
                return tuple(count / total for count in distribution.counts)
    return None


def group_mass(members: Sequence[int]) -> Callable[[Draw], float | None]:
    """In per cent."""
    return lambda draw: 100.0 * sum(draw.prior[c] for c in members) if draw.prior else None


def prior_table(section: Section, ltbench_version: str) -> Table | None:
    """Share of many, medium and few-shot classes: true, and as each row estimates it."""
    tests = section.shifts
    rows = estimating_rows(section)
    if not rows or not tests:
        return None
    groups = [group for group in GROUPS if section.groups[group]]

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        for group in groups:
            pick = group_mass(section.groups[group])
            cells = [row.cell(test.name, pick) for test in tests]
            yield (marked(row), group, seeds_of(cells), *cells)

    what = f"Estimated share (%) of the class groups ({shift_legend(tests)}) on"
    return Table(
        name="priors",
        title="Estimated test priors",
        caption=caption(section, what, rows, tests, ltbench_version),
        columns=(LABEL, Column("group", "Group", text=True), SEEDS, *columns_of(tests)),
        blocks=(
            Block(tuple(_truth(section, groups)), "the truth"),
            *(Block(tuple(lines(row))) for row in rows),
        ),
        notes=(*detail_notes(section, rows), *row_notes(section, rows)),
    )


def _truth(section: Section, groups: Sequence[str]) -> Iterator[tuple[Value, ...]]:
    priors = [true_prior(section, test.name) for test in section.shifts]
    for group in groups:
        cells: list[Value] = [
            None if prior is None else Summary(100 * sum(prior[c] for c in members), None, 0)
            for prior in priors
            for members in [section.groups[group]]
        ]
        yield ("true", group, None, *cells)
