"""Published figures beside measured ones, method by method: grey, cited, never ranked, with gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ltbench.report.published.candidates import FAR, candidates
from ltbench.report.published.quoted import Quoted, quoted_rows
from ltbench.report.records.schema import EVERY_IMAGE, Draw
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary
from ltbench.report.tables.captions import caption, footnotes, marked, span
from ltbench.report.tables.first_draw import first_draw_top1
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, columns_of, seeds_of, top1
from ltbench.report.tables.table import Block, Column, Table, Value

_SOURCE = Column("source", "Source", text=True)
Cells = Sequence[Summary | None]


@dataclass(frozen=True)
class Measured:
    """One way in which a row is measured: its name, and a cell for each test set."""

    name: str
    cells: Cells
    draws: str = ""
    """How many draws are averaged; empty for draw 0."""


def quoted_table(section: Section, ltbench_version: str) -> Table | None:
    """Draw 0, as published, and the mean over the draws; gaps to both where budgets are equal."""
    quoted = quoted_rows(section.key.protocol, section.key.variant)
    by_label = {row.label: row for row in section.rows}
    shown = [q for q in quoted if q.label in by_label and by_label[q.label].seeds]
    names = {name for row in shown for name in row.scores}
    tests = tuple(test for test in section.shifts if test.name in names)
    if not shown or not tests or section.key.mode != "clean":
        return None
    rows = [by_label[label] for label in sorted({q.label for q in shown})]
    measured = {row.label: measurements(row, tests) for row in rows}
    other = all(q.other_budget for q in shown)
    found = [
        _block(row, [q for q in shown if q.label == row.label], measured, tests) for row in rows
    ]
    budget = (
        " The quoted figures were trained with another budget or kind of augmentation: no gap is computed,"
        " and none should be read into this table."
        if other
        else " Minus: the gap, measured minus quoted, in points"
        + (
            "; none to figures of another budget or kind of augmentation."
            if any(q.other_budget for q in shown)
            else "."
        )
    )
    far = [note for q in shown if (note := far_note(q, by_label[q.label], measured, tests))]
    sources = {q.key: source_note([o for o in shown if o.key == q.key]) for q in shown}
    what = "Top-1 accuracy (%) beside published figures, of"
    return Table(
        name="quoted",
        title="Published, quoted" + (" (other budget)" if other else ""),
        caption=f"{caption(section, what, rows, tests, ltbench_version)} Draw 0: that draw alone, the"
        " one that the published code makes. Quoted rows are not measured here, not ranked and carry"
        f" no interval.{budget}",
        columns=(LABEL, _SOURCE, SEEDS, *columns_of(tests)),
        blocks=tuple(found),
        notes=(*far, *sources.values(), *footnotes(section, rows)),
    )


def measurements(row: Row, tests: Sequence[TestSet]) -> list[Measured]:
    """Draw 0, and the mean over all draws where a shifted test set has more than one."""

    def cells(pick: Callable[[Draw], float | None]) -> list[Summary | None]:
        return [row.cell(test.name, pick) for test in tests]

    found = [Measured("draw 0", cells(first_draw_top1))]
    shifted = [test.name for test in tests if test.kind not in EVERY_IMAGE]
    drawn = {n for name in shifted for n in row.n_draws(name)}
    if drawn - {1}:
        found.append(Measured(f"mean of {span(drawn)}", cells(top1), span(drawn)))
    return found


def _block(
    row: Row,
    quoted: Sequence[Quoted],
    measured: dict[str, list[Measured]],
    tests: Sequence[TestSet],
) -> Block:
    own = measured[row.label]

    def line(source: str, cells: Sequence[Value], n: Value) -> tuple[Value, ...]:
        return (marked(row), source, n, *cells)

    named = [f"{q.key}: {q.title}" if _several(q, quoted) else q.key for q in quoted]

    def lines() -> Iterator[tuple[tuple[Value, ...], bool]]:
        for one in own:
            yield line(f"measured, {one.name}", one.cells, seeds_of(one.cells)), False
        for q, name in zip(quoted, named, strict=True):
            scores = [q.scores.get(test.name) for test in tests]
            cells = [None if score is None else Summary(score, None, 0) for score in scores]
            yield line(f"quoted, {name}", cells, None), True
            for one in compared(q, own, tests):
                gap = gaps(q, one, tests)
                yield line(f"{one.name} minus {name}", gap, seeds_of(gap)), False

    found = list(lines())
    places = frozenset(i for i, (_, grey) in enumerate(found) if grey)
    return Block(tuple(cells for cells, _ in found), quoted=places)


def _several(quoted: Quoted, others: Sequence[Quoted]) -> bool:
    """Whether its source has more than one figure for the row, so that the key alone names none."""
    return sum(other.key == quoted.key for other in others) > 1


def source_note(quoted: Sequence[Quoted]) -> str:
    """One source's figures: where they were read, and how each was obtained."""
    first = quoted[0]
    recipes: dict[str, list[str]] = {}
    for q in quoted:
        recipes.setdefault(q.recipe, []).append(q.title)
    told = [f"{', '.join(titles)}: {recipe}" for recipe, titles in recipes.items()]
    how = next(iter(recipes)) if len(recipes) == 1 else ". ".join(told)
    return f"{first.key}: {first.citation}; {first.url} ({first.note}). Obtained with: {how}"


def compared(quoted: Quoted, own: Sequence[Measured], tests: Sequence[TestSet]) -> list[Measured]:
    """What gaps are told of: nothing of another budget; draw 0 alone where no set is drawn."""
    drawn = any(t.name in quoted.scores and t.kind not in EVERY_IMAGE for t in tests)
    return [] if quoted.other_budget else [one for one in own if drawn or not one.draws]


def gaps(quoted: Quoted, measured: Measured, tests: Sequence[TestSet]) -> Cells:
    """Measured minus quoted, with the interval of what was measured."""
    found: list[Summary | None] = []
    for test, cell in zip(tests, measured.cells, strict=True):
        score = quoted.scores.get(test.name)
        known = cell is not None and score is not None
        found.append(replace(cell, mean=cell.mean - score) if known and cell and score else None)
    return found


def far_note(
    quoted: Quoted, row: Row, measured: dict[str, list[Measured]], tests: Sequence[TestSet]
) -> str:
    """Where a gap exceeds :data:`FAR`, and the candidates for what differs; empty elsewhere."""
    parts, shifted, draws = [], False, ""
    for one in compared(quoted, measured[row.label], tests):
        pairs = zip(tests, gaps(quoted, one, tests), strict=True)
        far = [test for test, gap in pairs if gap is not None and abs(gap.mean) > FAR]
        drawn = [test for test in far if test.kind not in EVERY_IMAGE]
        shifted = shifted or bool(drawn)
        draws = one.draws if drawn else draws
        if far:
            parts.append(f"{one.name}: {', '.join(test.short for test in far)}")
    if not parts:
        return ""
    found = candidates(quoted, row, shifted=shifted, draws=draws)
    text = "; ".join(found) if found else "none is known"
    return (
        f"{row.label}, more than {FAR:g} point from {quoted.key} ({'; '.join(parts)})."
        f" Candidates for what differs, not causes: {text}"
    )


TABLES = (TableKind(170, quoted_table),)
