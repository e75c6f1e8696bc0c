"""Table of single classes by name: what each was trained and tested on, and its recall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, mean_of, summarise
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, seeds_of
from ltbench.report.tables.table import NOT_APPLICABLE, Block, Column, Table, Value
from ltbench.report.tables.uniform import recalls_of

ALL_SHOWN = 20  # classes up to which every one has a line
WORST = 10  # classes of each row that more of them leave in print
_TERMINAL = 40  # lines

COLUMNS = (
    LABEL,
    SEEDS,
    Column("class_name", "Class", text=True),
    Column("train_images", "Training images", plain=True),
    Column("test_images", "Test images", plain=True),
    Column("recall", "Recall"),
)


def classes_table(section: Section, ltbench_version: str) -> Table | None:
    """Each class on the uniform test set, of rows that do not adapt or have their own strategy.

    Of more than :data:`ALL_SHOWN` classes those with the lowest recalls, for each row; CSV has all.
    """
    uniform = section.uniform
    if uniform is None:
        return None
    rows = [row for row in section.rows if _shown(row) and recalls_of(row, uniform)]
    if not rows:
        return None
    classes = len(section.class_names)
    order = sorted(range(classes), key=lambda c: section.rank[c])
    whole = _blocks(section, uniform, rows, order, None)
    printed = whole
    what = (
        "Recall (%) of each class on the uniform test set, from the most frequent class in training"
    )
    if classes > ALL_SHOWN:
        printed = _blocks(section, uniform, rows, order, WORST)
        what = (
            f"Recall (%) of single classes on the uniform test set, of each row the {WORST} lowest (the"
            f" other {classes - WORST} classes are in the CSV file)"
        )
    text = caption(section, f"{what}, of", rows, (), ltbench_version)
    if any(value == NOT_APPLICABLE for block in whole for row in block.rows for value in row):
        text += " n/a: no test images."
    return Table(
        name="classes",
        title="Single classes on the uniform test set",
        caption=text,
        columns=COLUMNS,
        blocks=printed,
        notes=row_notes(section, rows),
        stored=whole if classes > ALL_SHOWN else None,
        in_terminal=sum(len(block.rows) for block in printed) <= _TERMINAL,
    )


def _shown(row: Row) -> bool:
    """Other strategies of a training repeat its classes; they are for the tables over the shift."""
    return (row.strategy == "none" or row.is_own) and not row.uses_true_prior


def _blocks(
    section: Section, uniform: str, rows: Sequence[Row], order: Sequence[int], most: int | None
) -> tuple[Block, ...]:
    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        images = _test_images(row, uniform)
        found = recalls_of(row, uniform).values()
        means = {c: mean_of(recalls.per_class[c] for recalls in found) for c in order}
        for c in order if most is None else _lowest(means, most):
            cell = summarise(recalls.per_class[c] for recalls in found)
            yield (
                marked(row),
                seeds_of([cell]) if isinstance(cell, Summary) else len(found),
                section.class_names[c],
                section.train_counts[c],
                None if images is None else images[c],
                NOT_APPLICABLE if cell is None else cell,
            )

    return blocks(section, lines, rows)


def _lowest(means: dict[int, float | None], most: int) -> list[int]:
    """Equal recalls in the order of ``means``; a class without test images has none."""
    known = [
        (round(mean, 9), place, c)
        for place, (c, mean) in enumerate(means.items())
        if mean is not None
    ]
    return [c for _, _, c in sorted(known)[:most]]


def _test_images(row: Row, uniform: str) -> Sequence[int] | None:
    """Of each class behind a recall: as found where a fixed predictor is scored on all images."""
    for distribution in row.results[uniform].values():
        if distribution.pool is not None and not row.first_draw_only:
            return distribution.pool
        return distribution.counts
    return None


TABLES = (TableKind(45, classes_table),)
