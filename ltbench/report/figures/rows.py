"""Which rows a figure shows: more than a dozen lines can not be told apart."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import mean_of
from ltbench.report.tables.shift import mean_over

MOST = 12


def leading_rows(rows: Sequence[Row], section: Section, most: int = MOST) -> tuple[list[Row], str]:
    """Rows without adaptation, then those with the best mean over the distributions, and a sentence.

    A plain row is what every other row of its method is compared with, so it is the last to go. The
    rows come in their own order. The sentence says what is left out; it is empty where nothing is.
    Rows that lack a distribution come last.
    """
    if len(rows) <= most:
        return list(rows), ""
    pick = mean_over(section.shifts)
    means = {row.label: mean_of(pick(row).values()) for row in rows}

    def order(row: Row) -> tuple[bool, bool, float]:
        mean = means[row.label]
        return (row.strategy != "none", mean is None, -round(mean or 0.0, 9))  # equal: in order

    chosen = {row.label for row in sorted(rows, key=order)[:most]}
    text = (
        f" Shown are {most} of {len(rows)}: those without adaptation first, then those with the best"
        " mean; the tables have all."
    )
    return [row for row in rows if row.label in chosen], text
