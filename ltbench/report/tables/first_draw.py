"""Draw 0 of every row beside the rows that exist on draw 0 only."""

from __future__ import annotations

from collections.abc import Iterator

from ltbench.report.records.schema import Draw
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.tables.captions import caption, marked, row_notes, shift_legend
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, columns_of, seeds_of
from ltbench.report.tables.table import Table, Value


def first_draw_top1(draw: Draw) -> float | None:
    return draw.top1 if draw.number == 0 else None


def first_draw_table(section: Section, ltbench_version: str) -> Table | None:
    """Only where a row runs the network: the same images for all, which other tables can not give."""
    tests = section.shifts
    if not tests or not any(row.first_draw_only for row in section.rows):
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = [row.cell(test.name, first_draw_top1) for test in tests]
        yield (marked(row), seeds_of(cells), *cells)

    what = (
        f"Top-1 accuracy (%) on draw 0 of the test label distributions ({shift_legend(tests)}) of"
    )
    rows = [row for row in section.rows if row.first_draw_only]
    return Table(
        name="first-draw",
        title="Draw 0 alone, where rows that run the network have their numbers",
        caption=caption(section, what, rows, tests, ltbench_version),
        columns=(LABEL, SEEDS, *columns_of(tests)),
        blocks=blocks(section, lines),
        notes=row_notes(section, section.rows),
    )
