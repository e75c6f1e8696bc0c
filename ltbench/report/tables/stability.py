"""Table of prediction stability: how alike two augmented views of an image are classified."""

from __future__ import annotations

from collections.abc import Iterator

from ltbench.report.records.schema import GROUPS
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, summarise
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.shift import EXPERT, LABEL, SEEDS, seeds_of
from ltbench.report.tables.table import NOT_APPLICABLE, Block, Table, Value
from ltbench.report.tables.uniform import group_columns


def stable_rows(section: Section) -> list[Row]:
    """One row per training whose agreement was measured; strategies do not change it."""
    chosen: dict[object, Row] = {}
    for row in sorted(section.rows, key=lambda row: (-len(row.seeds), len(row.label), row.label)):
        if any(agreement_of(row, section, expert) for expert in range(row.experts)):
            chosen.setdefault((row.training, row.parameters, row.recipe), row)
    return sorted(chosen.values(), key=lambda row: row.label)


def agreement_of(row: Row, section: Section, expert: int) -> dict[str, Summary]:
    """Per class group, over seeds; groups without images are absent."""
    found = row.results.get(section.uniform or "", {})
    cells = {
        group: summarise(d.agreement[expert].get(group) for d in found.values() if d.agreement)
        for group in (*GROUPS, "all")
    }
    return {group: cell for group, cell in cells.items() if cell is not None}


def stability_table(section: Section, ltbench_version: str) -> Table | None:
    """Each expert by class groups: the stronger expert should be the more stable one."""
    rows = stable_rows(section)
    if not rows:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        for expert in range(row.experts):
            found = agreement_of(row, section, expert)
            cells: list[Value] = [found.get(g, NOT_APPLICABLE) for g in (*GROUPS, "all")]
            yield (marked(row), expert + 1, seeds_of(cells), *cells)

    what = (
        "Prediction stability: mean cosine similarity of each expert's class probabilities on two"
        " augmented views of a test image, by class group (in brackets: number of classes), on"
    )
    return Table(
        name="stability",
        title="Prediction stability of each expert",
        caption=caption(section, what, rows, (), ltbench_version),
        columns=(LABEL, EXPERT, SEEDS, *group_columns(section, digits=3)),
        blocks=tuple(Block(tuple(lines(row))) for row in rows),
        notes=row_notes(section, rows),
    )
