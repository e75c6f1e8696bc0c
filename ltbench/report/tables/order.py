"""Which rows of a table stand together, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import mean_of
from ltbench.report.tables.marks import Pick
from ltbench.report.tables.table import ADAPTED, FIXED, KNOWS_PRIOR, Block, Value


@dataclass(frozen=True)
class Group:
    """Rows of one block, in its order; the title is empty where there is nothing to tell apart."""

    title: str
    rows: tuple[Row, ...]


def groups_of(rows: Sequence[Row], group_by: str) -> list[Group]:
    """By ``group_by``, in the order of the rows; those that know the true test prior apart."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        if not row.uses_true_prior:
            title = {"method": row.method, "strategy": row.strategy}.get(group_by, "")
            grouped.setdefault(title, []).append(row)
    found = [Group(title, tuple(grouped[title])) for title in sorted(grouped)]
    knowing = tuple(row for row in rows if row.uses_true_prior)
    return [*found, Group(KNOWS_PRIOR, knowing)] if knowing else found


def groups_by_mean(rows: Sequence[Row], pick: Pick) -> list[Group]:
    """What does not adapt, what adapts, what knows the true prior; each by descending mean.

    Rows without a mean come last. One kind of rows alone has no title, unless it knows the prior.
    """
    means = {row.label: mean_of(pick(row).values()) for row in rows}

    def place(row: Row) -> tuple[bool, float, str]:
        mean = means[row.label]
        return (mean is None, 0.0 if mean is None else -mean, row.label)

    ordered = sorted(rows, key=place)
    kinds = (
        (FIXED, [row for row in ordered if not (adapts(row) or row.uses_true_prior)]),
        (ADAPTED, [row for row in ordered if adapts(row)]),
        (KNOWS_PRIOR, [row for row in ordered if row.uses_true_prior]),
    )
    found = [Group(title, tuple(members)) for title, members in kinds if members]
    if len(found) == 1 and found[0].title != KNOWS_PRIOR:
        return [Group("", found[0].rows)]
    return found


def adapts(row: Row) -> bool:
    """Neither ``none`` nor a reference that knows the true prior."""
    strategies = {evaluation.strategy for evaluation in row.evaluations}
    return bool(strategies) and strategies != {"none"} and not row.uses_true_prior


def blocks_of(
    groups: Sequence[Group], lines: Callable[[Row], Iterator[tuple[Value, ...]]]
) -> tuple[Block, ...]:
    """A block for each group that has lines."""
    found = [Block(tuple(x for row in g.rows for x in lines(row)), g.title) for g in groups]
    return tuple(block for block in found if block.rows)
