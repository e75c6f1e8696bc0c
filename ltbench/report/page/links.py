"""Where the rows of the page's tables lead: to their trials, and from their marks to footnotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ltbench.report.page.part import Part
from ltbench.report.rows.bias_notes import ESTIMATE_MARK
from ltbench.report.tables.captions import FAILED_MARK, FIRST_DRAW_MARK, marked
from ltbench.report.tables.table import Table

MARKS = (FAILED_MARK, ESTIMATE_MARK, FIRST_DRAW_MARK)


@dataclass(frozen=True)
class Link:
    """``label`` leads to the element ``trials``; each mark to its footnote, ``""`` without one."""

    label: str
    trials: str
    marks: tuple[tuple[str, str], ...] = ()


def trials_ids(part: Part) -> dict[str, str]:
    """From the label of a row to the id of the list of its trials."""
    rows = part.section.rows if part.section else []
    return {row.label: f"{part.anchor}_trials{n}" for n, row in enumerate(rows, start=1)}


def note_id(part: Part, table: Table, number: int) -> str:
    return f"{part.anchor}_{table.name}_note{number}"


def links(part: Part, table: Table) -> dict[str, Link]:
    """From what the table prints for a row, marks included, to where that leads."""
    rows = part.section.rows if part.section else []
    ids = trials_ids(part)
    found = {row.label: Link(row.label, ids[row.label]) for row in rows}
    for row in rows:
        text = marked(row)
        signs = [sign for sign in text[len(row.label) :] if sign in MARKS]
        marks = tuple((sign, _note(part, table, sign, row.label)) for sign in signs)
        found[text] = Link(row.label, ids[row.label], marks)
    return found


def footnotes(part: Part) -> Mapping[str, Sequence[tuple[str, str]]]:
    """From the label of a row to its marks, with the notes of the first table that has them."""
    rows = part.section.rows if part.section else []
    found: dict[str, Sequence[tuple[str, str]]] = {}
    for row in rows:
        known = [links(part, table)[marked(row)].marks for table in part.tables]
        best = max(known, key=lambda marks: sum(bool(note) for _, note in marks), default=())
        found[row.label] = best
    return found


def _note(part: Part, table: Table, mark: str, label: str) -> str:
    """The id of the note that begins with the mark and speaks of the row."""
    notes = [(n, note) for n, note in enumerate(table.notes) if note.startswith(f"{mark} ")]
    own = [n for n, note in notes if note.startswith(f"{mark} {label}:")]
    named = [n for n, note in notes if label in note]
    return next((note_id(part, table, n) for n in (*own, *named)), "")
