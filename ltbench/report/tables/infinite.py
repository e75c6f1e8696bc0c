"""Footnotes on infinite means: in how many seeds, and why."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ltbench.report.records.names import counted, listed
from ltbench.report.rows.rows import Row
from ltbench.report.tables.marks import Pick
from ltbench.report.tables.table import INFINITE


def infinite_notes(rows: Sequence[Row], what: str, picks: Mapping[str, Pick]) -> tuple[str, ...]:
    """Per row with an infinite value: ``"ce+bbse: NLL infinite in 4 of 5 seeds (U); ..."``.

    ``picks``: from the name of a test set to the values per seed there.
    """
    return tuple(note for row in rows if (note := _note(row, what, picks)))


def _note(row: Row, what: str, picks: Mapping[str, Pick]) -> str:
    places: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, pick in picks.items():
        values = [value for value in pick(row).values() if value is not None]
        infinite = sum(math.isinf(value) for value in values)
        if infinite:
            places[infinite, len(values)].append(name)
    if not places:
        return ""
    parts = [
        f"in {counted(n, of, 'seed')} ({listed(names, len(picks))})"
        for (n, of), names in places.items()
    ]
    return (
        f"{row.label}: {what} infinite {', '.join(parts)}: a class that is there was ruled out;"
        f" {INFINITE} is the mean and never the best"
    )
