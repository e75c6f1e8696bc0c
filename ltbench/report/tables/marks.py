"""What is bold in a table, how its caption explains it, and what the table can not resolve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import SMALLEST_N, Summary, summarise
from ltbench.report.statistics.comparison import (
    ALPHA,
    POWER,
    PerSeed,
    best_or_tied,
    detectable_in_sd,
    pooled_sd,
)

Pick = Callable[[Row], PerSeed]
"""From a row to its values per seed: what is behind one column."""


class Marks:
    """The cells of the columns ``picks`` for ``rows``, with the best of each column marked.

    Rows that know the true test prior get cells and no mark; ``lower`` names the places of columns
    where less is better.
    """

    def __init__(
        self, rows: Sequence[Row], picks: Sequence[Pick], lower: frozenset[int] = frozenset()
    ) -> None:
        values = {row.label: [pick(row) for pick in picks] for row in rows}
        ranked = [row.label for row in rows if not row.uses_true_prior]
        columns = [[values[label][place] for label in ranked] for place in range(len(picks))]
        tied = best_or_tied(columns, [place in lower for place in range(len(picks))])
        self._cells: dict[str, list[Summary | None]] = {
            label: [summarise(found.values()) for found in per_column]
            for label, per_column in values.items()
        }
        for place, members in enumerate(tied):
            for index in members:
                cells = self._cells[ranked[index]]
                cell = cells[place]
                cells[place] = None if cell is None else replace(cell, best=True)
        self._ranked = len(ranked)
        self._any = any(tied)
        self._first = [values[label][0] for label in ranked] if picks else []

    def cells(self, row: Row) -> list[Summary | None]:
        return list(self._cells[row.label])

    def caption(self) -> str:
        """Explains the bold print; empty where there is nothing to compare."""
        if self._ranked < 2:
            return ""
        if not self._any:
            return " Nothing is bold: no two methods share three seeds, so none can be told apart."
        return (
            " Bold: the best of a column and all that cannot be told from it (paired t tests over"
            f" seeds, Holm's correction over the comparisons of the column, {100 * ALPHA:g} %)."
        )

    def notes(self, rows: Sequence[Row], what: str, pick: Pick) -> tuple[str, ...]:
        """The minimal detectable difference, from the seed noise of what ``pick`` takes."""
        values = [pick(row) for row in rows if not row.uses_true_prior]
        sizes = [sum(v is not None for v in found.values()) for found in values]
        sd = pooled_sd(values)
        n = min((size for size in sizes if size >= SMALLEST_N), default=0)
        if self._ranked < 2 or sd is None or not n:
            return ()
        smallest = sd * detectable_in_sd(n)
        return (
            f"Minimal detectable difference of two methods in {what}: {smallest:.1f} points"
            f" (paired t test, n = {n} seeds with independent noise of sd {sd:.2f},"
            f" {100 * POWER:.0f} % power at {100 * ALPHA:g} %, before Holm's correction).",
        )
