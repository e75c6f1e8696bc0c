"""Captions and notes, made from facts only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ltbench.report.records.schema import EVERY_IMAGE
from ltbench.report.rows.bias_notes import ESTIMATE_MARK, bias_note
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import SMALLEST_N
from ltbench.report.tables.diagnostics import failure_notes

FAILED_MARK = "*"
FIRST_DRAW_MARK = "§"


def caption(
    section: Section,
    what: str,
    rows: Sequence[Row],
    tests: Sequence[TestSet],
    ltbench_version: str,
) -> str:
    """What is shown, on what, how it was averaged, which interval, under which conditions."""
    key = section.key
    return " ".join(
        [
            f"{what} {rules(section)}.",
            _averaging(rows, tests),
            f"Precision {key.precision}, evaluation mode {key.mode};"
            f" training data {key.train_fingerprint[:12]}, test data {key.test_fingerprint[:12]};"
            f" ltbench {ltbench_version}.",
        ]
    )


def rules(section: Section) -> str:
    """``"toy-lt version 1.0, variant ..., heads on frozen features of the pre-trained ..."``."""
    key = section.key
    variant = f", variant {key.variant}" if key.variant else ""
    frozen = f", heads on frozen features of the pre-trained {key.encoder}" if key.encoder else ""
    return f"{key.protocol} version {key.version}{variant}{frozen}"


def shift_legend(tests: Sequence[TestSet]) -> str:
    """Explains the headers that occur: ``F50, F2: forward long-tailed with that ...``."""
    parts = []
    for kind in ("forward", "uniform", "backward"):
        short = [test.short for test in tests if test.kind == kind and test.short != test.name]
        if short and kind == "uniform":
            parts.append("U: uniform")
        elif short:
            span = short[0] if len(short) == 1 else f"{short[0]} to {short[-1]}"
            parts.append(f"{span}: {kind} long-tailed, imbalance ratio as numbered")
    return "; ".join(parts)


def mixes_told(tests: Sequence[TestSet]) -> str:
    """``" clinic: a mix as the protocol states it."``; nothing where there is none."""
    if not tests:
        return ""
    verb = "a mix" if len(tests) == 1 else "mixes"
    return f" {', '.join(test.short for test in tests)}: {verb} of classes as stated by the user."


def _averaging(rows: Sequence[Row], tests: Sequence[TestSet]) -> str:
    shifted = [test.name for test in tests if test.kind not in EVERY_IMAGE]
    drawn = {n for row in rows for name in shifted for n in row.n_draws(name)}
    draws = f"{span(drawn)} draws per shifted test set, then over " if drawn - {1} else ""
    text = f"Mean over {draws}the seeds ({seeds_text(len(row.seeds) for row in rows)})"
    if drawn == {1}:
        text += " on one draw per shifted test set"
    if max((len(row.seeds) for row in rows), default=0) >= SMALLEST_N:
        text += "; ± is the half-width of the 95 % t interval over seeds"
    return f"{text}; no interval below three seeds."


def seeds_text(counts: Iterable[int]) -> str:
    """``"n = 5"``, ``"n = 1 to 3"`` or ``"none"``: how many seeds the rows have, those without left out."""
    seeds = {count for count in counts if count}
    return f"n = {span(seeds)}" if seeds else "none"


def span(numbers: Iterable[int]) -> str:
    """``"10"``, or ``"2 to 10"``."""
    ordered = sorted(set(numbers))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def row_notes(section: Section, rows: Sequence[Row]) -> tuple[str, ...]:
    """Failures, estimates, rows with fewer draws than others, and the notes of the section."""
    return (*footnotes(section, rows), *section.notes)


def footnotes(section: Section, rows: Sequence[Row]) -> tuple[str, ...]:
    """What :func:`row_notes` says of ``rows`` themselves."""
    notes = [note for row in rows if (note := bias_note(row)) is not None]
    notes += failure_notes(section, rows)
    notes += [note for row in rows if (note := mixed_recipe_note(row))]
    first = [row.label for row in rows if row.first_draw_only]
    if first:
        notes.append(
            f"{FIRST_DRAW_MARK} {', '.join(first)}: draw 0 only, since the network runs for each test"
            " set; the table first-draw has draw 0 of all rows"
        )
    for row in rows:
        if row.failures:
            seeds = ", ".join(str(seed) for seed in sorted({f.seed for f in row.failures}))
            verb = "not averaged in" if row.seeds else "no result"
            notes.append(f"{FAILED_MARK} {row.label}: {row.failure_text()} (seed {seeds}); {verb}")
    for test in section.shifts:
        draws = {
            row.label: row.n_draws(test.name)
            for row in rows
            if row.n_draws(test.name) and not row.first_draw_only
        }
        most = max((n for found in draws.values() for n in found), default=0)
        for label, found in draws.items():
            note = f"{label}: {span(found)} instead of {most} draws on some test sets"
            if found != {most} and note not in notes:
                notes.append(note)
    return tuple(notes)


def mixed_recipe_note(row: Row) -> str:
    """Of an ensemble whose members were trained by different recipes: in what these differ."""
    recipe = json.loads(row.recipe or "{}")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("mixed"), list):
        return ""
    first, *others = recipe["mixed"]
    differing = [key for key in first if any(other.get(key) != first[key] for other in others)]
    return f"{row.label}: its members were trained by different recipes ({', '.join(differing)} differ)"


def marked(*rows: Row) -> str:
    """The label that the rows share, with the marks of footnotes that any of them needs."""
    marks = (
        (FAILED_MARK, any(row.failures for row in rows)),
        (ESTIMATE_MARK, any(row.biases for row in rows)),
        (FIRST_DRAW_MARK, any(row.first_draw_only for row in rows)),
    )
    return rows[0].label + "".join(mark for mark, applies in marks if applies)
