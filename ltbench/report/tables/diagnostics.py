"""Footnotes on what strategies say of their own work: no convergence, no estimate, fall-backs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ltbench.report.records.names import counted, listed
from ltbench.report.records.schema import Diagnostics
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section

Fact = Callable[[Diagnostics], bool]

FAILURES: tuple[tuple[str, Fact], ...] = (
    ("did not converge before its limit of iterations", lambda d: d.converged is False),
    ("found no estimate and fell back to the training prior", lambda d: d.failed is True),
    ("stopped calibrating at its limit of iterations", lambda d: d.calibrated is False),
)
"""Told with every table: such a draw does not show what the strategy is meant to do."""

DETAILS: tuple[tuple[str, Fact], ...] = (
    (
        "set negative weights to 0, which rules their classes out",
        lambda d: d.failed is not True and _positive(d.clipped),
    ),
    ("stopped at the end of the range it searches", lambda d: d.at_limit is True),
    ("took a fall-back (EM)", lambda d: isinstance(d.chosen, str) and d.chosen.startswith("em[")),
)
"""Told with the tables on adaptation."""


def failure_notes(section: Section, rows: Sequence[Row]) -> list[str]:
    """``"ce+em: did not converge ... in 13 of 208 draws (2 of 2 seeds; F50, U)"``, per row."""
    return [note for row in rows for note in _notes(section, row, FAILURES)]


def detail_notes(section: Section, rows: Sequence[Row]) -> list[str]:
    """As :func:`failure_notes`, of what is less than a failure; a singular confusion table, too."""
    classes = len(section.train_counts)
    singular: Fact = lambda d: d.clipped is not None and _positive(d.rank) and d.rank < classes  # noqa: E731
    text = f"met a confusion table that does not tell all weights (singular: rank below {classes})"
    return [n for row in rows for n in _notes(section, row, (*DETAILS, (text, singular)))]


def _notes(section: Section, row: Row, facts: Sequence[tuple[str, Fact]]) -> list[str]:
    found = row.told_where()
    notes = []
    for text, fact in facts:
        hits = row.told_where(fact)
        if hits:
            hit = {name for name, _ in hits}
            names = [test.short for test in section.test_sets if test.name in hit]
            seeds = counted(len({s for _, s in hits}), len({s for _, s in found}), "seed")
            where = listed(names, len({name for name, _ in found}))
            draws = counted(hits.total(), found.total(), "draw")
            notes.append(f"{row.label}: {text} in {draws} ({seeds}; {where})")
    return notes


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
