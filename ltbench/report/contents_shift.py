"""Tables over the test distributions: whole methods, single experts, learned weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ltbench.report.captions import caption, marked, row_notes, shift_legend
from ltbench.report.rows import Row
from ltbench.report.schema import Draw
from ltbench.report.sections import Section, TestSet
from ltbench.report.statistics import Summary, mean_of, summarise
from ltbench.report.tables import KNOWS_PRIOR, Block, Column, Table, Value

LABEL = Column("method", "Method", text=True)
PARAMETERS = Column("parameters", "Params")
SEEDS = Column("n", "n")
EXPERT = Column("expert", "Expert")


def blocks(
    rows: Sequence[Row], lines: Callable[[Row], Iterator[tuple[Value, ...]]]
) -> tuple[Block, ...]:
    """Rows that know the true test prior go into a marked block of their own."""
    plain = tuple(line for row in rows if not row.uses_true_prior for line in lines(row))
    knowing = tuple(line for row in rows if row.uses_true_prior for line in lines(row))
    found = [Block(plain)] if plain else []
    return tuple([*found, Block(knowing, KNOWS_PRIOR)] if knowing else found)


def top1(draw: Draw) -> float | None:
    return draw.top1


def seeds_of(cells: Sequence[Value]) -> Value:
    """The number of seeds behind a row; a span where its cells differ."""
    found = sorted({cell.n for cell in cells if isinstance(cell, Summary)})
    if len(found) > 1:
        return f"{found[0]}–{found[-1]}"
    return found[0] if found else 0


def columns_of(tests: Sequence[TestSet], digits: int = 1) -> tuple[Column, ...]:
    return tuple(Column(test.name, test.short, digits) for test in tests)


def main_table(section: Section, ltbench_version: str) -> Table | None:
    """Methods by test distributions, their mean and the worst of them."""
    tests = section.shifts
    if not tests:
        return None
    several = len(tests) > 1

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = [row.cell(test.name, top1) for test in tests]
        ends = [_mean_over(row, tests), _worst(cells)] if several else []
        yield (marked(row), row.parameters, seeds_of(cells), *cells, *ends)

    ends = (Column("mean", "Mean"), Column("worst", "Worst")) if several else ()
    what = f"Top-1 accuracy (%) on the test label distributions ({shift_legend(tests)}) of"
    text = caption(section, what, section.rows, tests, ltbench_version)
    if several:
        text += " Mean is over the distributions of a seed first; Worst is the lowest cell."
    return Table(
        name="main",
        title="Top-1 accuracy over test label distributions",
        caption=text,
        columns=(LABEL, PARAMETERS, SEEDS, *columns_of(tests), *ends),
        blocks=blocks(section.rows, lines),
        notes=row_notes(section, section.rows),
    )


def _mean_over(row: Row, tests: Sequence[TestSet]) -> Summary | None:
    """Only of seeds that have every distribution: means over different sets do not compare."""
    per_test = [row.per_seed(test.name, top1) for test in tests]
    complete = [seed for seed in row.seeds if all(seed in found for found in per_test)]
    return summarise(mean_of(found[seed] for found in per_test) for seed in complete)


def _worst(cells: Sequence[Summary | None]) -> Summary | None:
    present = [cell for cell in cells if cell is not None]
    return min(present, key=lambda cell: cell.mean) if len(present) == len(cells) else None


def partial_table(section: Section, ltbench_version: str) -> Table | None:
    """Test sets with some of the classes only, and any other that is no shift."""
    tests = section.others
    if not tests:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = [row.cell(test.name, top1) for test in tests]
        yield (marked(row), seeds_of(cells), *cells)

    what = "Top-1 accuracy (%) on test sets with some of the classes only, of"
    return Table(
        name="partial",
        title="Partial-class test sets",
        caption=caption(section, what, section.rows, tests, ltbench_version),
        columns=(LABEL, SEEDS, *columns_of(tests)),
        blocks=blocks(section.rows, lines),
        notes=row_notes(section, section.rows),
    )


def expert_shift_table(section: Section, ltbench_version: str) -> Table | None:
    """Each expert alone over the test distributions."""
    tests = section.shifts
    rows = trained_once(section.rows, lambda row: _has(row, lambda draw: draw.expert_top1))
    if not rows or len(tests) < 2:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        for expert in range(row.experts):
            cells = [row.cell(test.name, _expert_top1(expert)) for test in tests]
            yield (marked(row), expert + 1, seeds_of(cells), *cells)

    what = f"Top-1 accuracy (%) of each expert alone ({shift_legend(tests)}) on"
    return Table(
        name="experts-shift",
        title="Each expert alone over test label distributions",
        caption=caption(section, what, rows, tests, ltbench_version),
        columns=(LABEL, EXPERT, SEEDS, *columns_of(tests)),
        blocks=tuple(Block(tuple(lines(row))) for row in rows),
        notes=row_notes(section, rows),
    )


def _expert_top1(expert: int) -> Callable[[Draw], float | None]:
    return lambda draw: draw.expert_top1[expert] if draw.expert_top1 else None


def weights_table(section: Section, ltbench_version: str) -> Table | None:
    """What test-time adaptation learned: the weight of each expert per distribution."""
    tests = section.shifts
    rows = weighted_rows(section)
    if not rows or not tests:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        for expert in range(row.experts):
            cells = [row.cell(test.name, expert_weight(expert)) for test in tests]
            yield (marked(row), expert + 1, seeds_of(cells), *cells)

    what = f"Expert weights learned at test time ({shift_legend(tests)}) on"
    return Table(
        name="expert-weights",
        title="Learned expert weights",
        caption=caption(section, what, rows, tests, ltbench_version),
        columns=(LABEL, EXPERT, SEEDS, *columns_of(tests, digits=2)),
        blocks=tuple(Block(tuple(lines(row))) for row in rows),
        notes=row_notes(section, rows),
    )


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
