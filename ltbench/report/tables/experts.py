"""Tables of single experts over the test distributions: their accuracy, their learned weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ltbench.report.records.schema import Draw
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.tables.captions import caption, marked, row_notes, shift_legend
from ltbench.report.tables.shift import EXPERT, LABEL, SEEDS, columns_of, seeds_of
from ltbench.report.tables.table import Block, Table, Value

OfExpert = Callable[[int], Callable[[Draw], float | None]]


def expert_shift_table(section: Section, ltbench_version: str) -> Table | None:
    """Each expert alone over the test distributions."""
    tests = section.shifts
    rows = trained_once(section.rows, lambda row: _has(row, lambda draw: draw.expert_top1))
    if not rows or len(tests) < 2:
        return None
    what = f"Top-1 accuracy (%) of each expert alone ({shift_legend(tests)}) on"
    return Table(
        name="experts-shift",
        title="Each expert alone over test label distributions",
        caption=caption(section, what, rows, tests, ltbench_version),
        columns=(LABEL, EXPERT, SEEDS, *columns_of(tests)),
        blocks=_blocks(rows, tests, _expert_top1),
        notes=row_notes(section, rows),
    )


def weights_table(section: Section, ltbench_version: str) -> Table | None:
    """What test-time adaptation learned: the weight of each expert per distribution."""
    tests = section.shifts
    rows = weighted_rows(section)
    if not rows or not tests:
        return None
    what = f"Expert weights learned at test time ({shift_legend(tests)}) on"
    return Table(
        name="expert-weights",
        title="Learned expert weights",
        caption=caption(section, what, rows, tests, ltbench_version),
        columns=(LABEL, EXPERT, SEEDS, *columns_of(tests, digits=2)),
        blocks=_blocks(rows, tests, expert_weight),
        notes=row_notes(section, rows),
    )


def _blocks(
    rows: Sequence[Row], tests: Sequence[TestSet], of_expert: OfExpert
) -> tuple[Block, ...]:
    """A block per row, a line per expert."""

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        for expert in range(row.experts):
            cells = [row.cell(test.name, of_expert(expert)) for test in tests]
            yield (marked(row), expert + 1, seeds_of(cells), *cells)

    return tuple(Block(tuple(lines(row))) for row in rows)


def _expert_top1(expert: int) -> Callable[[Draw], float | None]:
    return lambda draw: draw.expert_top1[expert] if draw.expert_top1 else None


def weighted_rows(section: Section) -> list[Row]:
    return [row for row in section.rows if _has(row, lambda draw: draw.expert_weights)]


def expert_weight(expert: int) -> Callable[[Draw], float | None]:
    return lambda draw: draw.expert_weights[expert] if draw.expert_weights else None


def _has(row: Row, pick: Callable[[Draw], object]) -> bool:
    return any(
        pick(draw) is not None
        for found in row.results.values()
        for distribution in found.values()
        for draw in distribution.draws
    )


def trained_once(rows: Sequence[Row], wanted: Callable[[Row], bool]) -> list[Row]:
    """One row per training with several experts: a test-time strategy does not change them.

    The row with the most seeds and draws stands for the others.
    """
    chosen: dict[object, Row] = {}
    for row in rows:
        if row.experts > 1 and wanted(row):
            key = (row.training, row.parameters, row.recipe)
            if key not in chosen or _size(row) > _size(chosen[key]):
                chosen[key] = row
    return sorted(chosen.values(), key=lambda row: row.label)


def _size(row: Row) -> tuple[int, int, int]:
    draws = sum(len(d.draws) for found in row.results.values() for d in found.values())
    return (len(row.seeds), draws, -len(row.label))
