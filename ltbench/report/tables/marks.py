"""What is bold or underlined in a table, how its caption says so, and what it can not resolve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import SMALLEST_N, Summary, summarise, tied
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
    where less is better. A column in which no row can be told from the best has no mark: bold
    everywhere says nothing.
    """

    def __init__(
        self, rows: Sequence[Row], picks: Sequence[Pick], lower: frozenset[int] = frozenset()
    ) -> None:
        values = {row.label: [pick(row) for pick in picks] for row in rows}
        ranked = [row.label for row in rows if not row.uses_true_prior]
        columns = [[values[label][place] for label in ranked] for place in range(len(picks))]
        found = best_or_tied(columns, [place in lower for place in range(len(picks))])
        self._cells: dict[str, list[Summary | None]] = {
            label: [summarise(seeds.values()) for seeds in per_column]
            for label, per_column in values.items()
        }
        self._ranked = len(ranked)
        self._tested = any(found)
        self._any, self._alike = False, False
        for place, members in enumerate(found):
            measured = [label for label in ranked if self._cells[label][place] is not None]
            if members and len(members) == len(measured):
                self._alike = True
                continue
            for index in members:
                self._replace(ranked[index], place, best=True)
                self._any = True

    def cells(self, row: Row) -> list[Summary | None]:
        return list(self._cells[row.label])

    def _replace(self, label: str, place: int, **marks: bool) -> None:
        cell = self._cells[label][place]
        self._cells[label][place] = None if cell is None else replace(cell, **marks)

    def underline(self, groups: Sequence[Sequence[Row]], place: int) -> bool:
        """The highest mean of each group in the column ``place``; whether there is one.

        Only where the seeds are too few for bold, and where a group has two means that differ.
        """
        done = False
        for rows in groups if not self._tested else ():
            ranked = [row.label for row in rows if not row.uses_true_prior]
            found = {x: cell.mean for x in ranked if (cell := self._cells[x][place]) is not None}
            highest = max(found.values(), default=0.0)
            best = [label for label, mean in found.items() if tied(mean, highest)]
            for label in best if len(best) < len(found) else ():
                self._replace(label, place, highest=True)
                done = True
        return done

    def caption(self) -> str:
        """Explains the bold print; empty where there is nothing to compare."""
        if self._ranked < 2:
            return ""
        if not self._tested:
            return " Nothing is bold: no two methods share three seeds, so none can be told apart."
        tests = (
            "paired t tests over seeds, Holm's correction over the comparisons of the column,"
            f" {100 * ALPHA:g} %"
        )
        if not self._any:
            return f" Nothing is bold: no row can be told from the best of any column ({tests})."
        text = f" Bold: the best of a column and all that cannot be told from it ({tests})"
        return f"{text}; none where that is every row of the column." if self._alike else f"{text}."

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
