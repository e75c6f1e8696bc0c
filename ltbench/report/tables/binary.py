"""Table of two classes: sensitivity and specificity, at the row's own threshold and at a chosen one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import summarise
from ltbench.report.statistics.by_class import (
    arrays_of,
    class_scores,
    missing_arrays_note,
)
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.classes import ends_of
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, seeds_of
from ltbench.report.tables.table import NOT_APPLICABLE, Column, Table, Value
from ltbench.trial.class_arrays import ClassArrays

_COLUMNS = (
    LABEL,
    SEEDS,
    Column("test_set", "Test set", text=True),
    Column("sensitivity", "Sensitivity"),
    Column("specificity", "Specificity"),
    Column("auroc", "AUROC"),
    Column("average_precision", "Average precision"),
)
_AT_THRESHOLD = (
    Column("threshold", "Threshold", digits=3),
    Column("sensitivity_at_threshold", "Sensitivity there"),
    Column("specificity_at_threshold", "Specificity there"),
)


def binary_table(section: Section, ltbench_version: str) -> Table | None:
    """Rows by test distributions, where there are two classes and counts by class are stored."""
    if len(section.class_names) != 2:
        return None
    found = {
        (row.label, test.name): list(arrays_of(row, test.name, 2).values())
        for row in section.rows
        for test in section.test_sets
        if test.name in row.results
    }
    if not any(found.values()):
        return None
    chosen = any(one.thresholds is not None for several in found.values() for one in several)
    positive = positive_class(section)

    def lines_on(tests: Sequence[TestSet]) -> Callable[[Row], Iterator[tuple[Value, ...]]]:
        def lines(row: Row) -> Iterator[tuple[Value, ...]]:
            for test in tests:
                several = found.get((row.label, test.name), [])
                if several:
                    cells = _cells(several, positive)
                    cells += _at_threshold(several, positive) if chosen else []
                    yield (marked(row), seeds_of(cells), test.short, *cells)

        return lines

    rows = [row for row in section.rows if row.results]
    ends = ends_of(section)
    few = [t for t in section.test_sets if t.kind in ("uniform", "natural") or t in ends]

    name, other = section.class_names[positive], section.class_names[1 - positive]
    what = (
        f"Two classes (%): sensitivity is the recall of {name}, the class with fewer training images"
        f" (of equal ones the second), specificity that of {other}, at the row's own decision (the higher"
        " score), of"
    )
    text = caption(section, what, rows, few, ltbench_version)
    text += " All test sets are in the CSV file."
    text += (
        f" AUROC and average precision rank images by the softmax probability of {name}, on draw 0."
    )
    if chosen:
        text += (
            f" Threshold: {name} where its softmax probability is at least this, chosen on the held-out"
            " training images alone, for each draw: the highest sensitivity + specificity - 1 there"
            " (Youden's J)."
        )
    return Table(
        name="binary",
        title=f"Two classes: {name} against {other}",
        caption=text + " n/a: a class has no test images.",
        columns=(*_COLUMNS, *(_AT_THRESHOLD if chosen else ())),
        blocks=blocks(section, lines_on(few), rows),
        stored=blocks(section, lines_on(section.test_sets), rows),
        notes=(*missing_arrays_note(section, section.rows), *row_notes(section, section.rows)),
    )


def positive_class(section: Section) -> int:
    """The class with fewer training images, of equal ones the second."""
    return 0 if section.train_counts[0] < section.train_counts[1] else 1


def _cells(several: Sequence[ClassArrays], positive: int) -> list[Value]:
    scores = [class_scores(one) for one in several]

    def of(key: str, c: int) -> Value:
        return _or_not(summarise(getattr(one, key)[c] for one in scores))

    return [
        of("recall", positive),
        of("recall", 1 - positive),
        of("auroc", positive),
        of("average_precision", positive),
    ]


def _at_threshold(several: Sequence[ClassArrays], positive: int) -> list[Value]:
    """None where no threshold is stored."""
    means, recalls = [], []
    for one in several:
        if one.thresholds is not None and one.at_threshold is not None:
            means.append(float(one.thresholds.mean()))
            recalls.append(_recalls(one))
    if not means:
        return [None, None, None]
    return [
        summarise(means),
        *(_or_not(summarise(r[c] for r in recalls)) for c in (positive, 1 - positive)),
    ]


def _recalls(one: ClassArrays) -> tuple[float | None, ...]:
    assert one.at_threshold is not None
    sizes = one.at_threshold.sum(axis=1)
    return tuple(
        100.0 * float(one.at_threshold[c, c]) / float(sizes[c]) if sizes[c] else None
        for c in (0, 1)
    )


def _or_not(value: Value) -> Value:
    return NOT_APPLICABLE if value is None else value


TABLES = (TableKind(48, binary_table),)
