"""The table of Dirichlet-drawn and permuted test distributions, by family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary, mean_of, summarise, tied
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, seeds_of, top1
from ltbench.report.tables.table import Column, Table, Value


def families_table(section: Section, ltbench_version: str) -> Table | None:
    """Mean and worst accuracy over the priors of each family; never part of the main table's mean."""
    tests = section.families
    if not tests:
        return None
    families = by_family(tests)

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells: list[Value] = []
        for members in families.values():
            cells += [mean_cell(row, members), worst_cell(row, members)]
        yield (marked(row), seeds_of(cells), *cells)

    columns = [
        column
        for name, members in families.items()
        for column in (
            Column(f"{name}-mean", f"{name} ({len(members)})"),
            Column(f"{name}-worst", "Worst"),
        )
    ]
    what = "Top-1 accuracy (%) on test distributions that do not follow the training rank of"
    text = caption(section, what, section.rows, tests, ltbench_version)
    return Table(
        name="families",
        title="Dirichlet-drawn and class-permuted test distributions",
        caption=f"{text} {_explain(tests)}",
        columns=(LABEL, SEEDS, *columns),
        blocks=blocks(section, lines),
        notes=row_notes(section, section.rows),
    )


def by_family(tests: Sequence[TestSet]) -> dict[str, list[TestSet]]:
    """``permuted50-0`` and ``permuted50-1`` under ``permuted50``, in the order of the section."""
    families: dict[str, list[TestSet]] = {}
    for test in sorted(tests, key=lambda test: (test.kind, test.ratio or 0.0)):
        families.setdefault(test.name.rpartition("-")[0], []).append(test)
    return families


def mean_cell(row: Row, tests: Sequence[TestSet]) -> Summary | None:
    """Over the priors of a seed first; only of seeds that have all of them."""
    found = [row.per_seed(test.name, top1) for test in tests]
    seeds = [seed for seed in row.seeds if all(seed in one for one in found)]
    return summarise(mean_of(one[seed] for one in found) for seed in seeds)


def worst_cell(row: Row, tests: Sequence[TestSet]) -> Summary | None:
    cells = [row.cell(test.name, top1) for test in tests]
    present = [cell for cell in cells if cell is not None]
    if len(present) < len(cells):
        return None
    lowest = min(cell.mean for cell in present)
    return next(cell for cell in present if tied(cell.mean, lowest))


def _explain(tests: Sequence[TestSet]) -> str:
    kinds = {test.kind for test in tests}
    parts = ["In brackets: priors of the family; their mean, and the lowest of them."]
    if "dirichlet" in kinds:
        parts.append("dirichlet: priors from a symmetric Dirichlet distribution, concentration as")
        parts.append("numbered.")
    if "permuted" in kinds:
        parts.append("permuted: long-tailed with the classes in random order, imbalance ratio as")
        parts.append("numbered.")
    return " ".join(parts)
