"""Published figures beside measured ones: grey, cited, never ranked, with the gap."""

from __future__ import annotations

from dataclasses import replace

from ltbench.report.published.quoted import Quoted, quoted_rows
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary, summarise
from ltbench.report.tables.captions import caption, marked
from ltbench.report.tables.shift import LABEL, columns_of, seeds_of
from ltbench.report.tables.table import Block, Column, Table, Value

_SOURCE = Column("source", "Source", text=True)
_N = Column("n", "n", plain=True)


def quoted_table(section: Section, ltbench_version: str) -> Table | None:
    """Only draw 0 is compared: published shifted sets are one draw."""
    quoted = quoted_rows(section.key.protocol, section.key.variant)
    names = {name for row in quoted for name in row.scores}
    tests = tuple(test for test in section.shifts if test.name in names)
    by_label = {row.label: row for row in section.rows}
    shown = [q for q in quoted if q.label in by_label and by_label[q.label].seeds]
    if not shown or not tests or section.key.mode != "clean":
        return None
    rows = [by_label[label] for label in sorted({q.label for q in shown})]
    cells = {row.label: [draw_zero(row, test) for test in tests] for row in rows}
    measured = tuple(
        (marked(row), "measured", seeds_of(cells[row.label]), *cells[row.label]) for row in rows
    )
    other = any(q.other_budget for q in shown)
    blocks = [
        Block(measured, "measured here, draw 0"),
        Block(tuple(_quoted_line(q, tests) for q in shown), "quoted", quoted=True),
    ]
    if not other:
        gaps = tuple(_gap_line(q, tests, cells[q.label]) for q in shown)
        blocks.append(Block(gaps, "gap: measured minus quoted, points"))
    what = "Top-1 accuracy (%) on draw 0 beside published figures, of"
    sources = {q.key: f"{q.key}: {q.citation}; {q.url} ({q.note})" for q in shown}
    budget = (
        " The quoted figures were trained with another budget: no gap is computed, and none should"
        " be read into this table."
        if other
        else ""
    )
    text = caption(section, what, rows, (), ltbench_version)
    return Table(
        name="quoted",
        title="Published, quoted" + (" (other budget)" if other else ""),
        caption=f"{text} Draw 0 alone, as published; quoted rows are not"
        f" measured here, not ranked and carry no interval.{budget}",
        columns=(LABEL, _SOURCE, _N, *columns_of(tests)),
        blocks=tuple(blocks),
        notes=tuple(sources.values()),
    )


def draw_zero(row: Row, test: TestSet) -> Summary | None:
    """Over seeds, of draw 0 only."""
    found = row.results.get(test.name, {}).values()
    return summarise(d.top1 for one in found for d in one.draws if d.number == 0)


def _quoted_line(quoted: Quoted, tests: tuple[TestSet, ...]) -> tuple[Value, ...]:
    scores = [quoted.scores.get(test.name) for test in tests]
    cells = [None if score is None else Summary(score, None, 0) for score in scores]
    return (quoted.label, quoted.key, None, *cells)


def _gap_line(
    quoted: Quoted, tests: tuple[TestSet, ...], cells: list[Summary | None]
) -> tuple[Value, ...]:
    gaps: list[Value] = []
    for test, cell in zip(tests, cells, strict=True):
        score = quoted.scores.get(test.name)
        known = cell is not None and score is not None
        gaps.append(replace(cell, mean=cell.mean - score) if known and cell and score else None)
    return (quoted.label, quoted.key, seeds_of(gaps), *gaps)
