"""Table of single classes by name: what each was trained and tested on, how well it is told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, TestSet
from ltbench.report.rows.summary import Summary, mean_of, summarise
from ltbench.report.statistics.by_class import (
    ClassScores,
    arrays_of,
    class_scores,
    images_of,
    missing_arrays_note,
    most_confused,
    total_confusion,
)
from ltbench.report.tables.captions import caption, marked, row_notes
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, seeds_of
from ltbench.report.tables.table import NOT_APPLICABLE, Block, Column, Table, Value
from ltbench.report.tables.uniform import recalls_of

ALL_SHOWN = 20  # classes up to which every one has a line
WORST = 10  # classes of each row that more of them leave in print
AT_ENDS = 3  # classes of each row that are printed of the strongest shifts
NAMED = 3  # classes of each row that a note names
_TERMINAL = 60  # lines

_TEST_SET = Column("test_set", "Test set", text=True)
_BEFORE = (
    Column("class_name", "Class", text=True),
    Column("train_images", "Training images", plain=True),
    Column("test_images", "Test images", plain=True),
    Column("recall", "Recall"),
)
_STORED = (
    Column("precision", "Precision"),
    Column("f1", "F1"),
    Column("auroc", "AUROC"),
    Column("taken_for", "Most often taken for", text=True),
)
_EXPLAINED = (
    " Precision and F1 depend on the label distribution of the test set (headed as in the first table);"
    " counts are summed over its draws. AUROC: the class against the rest by its softmax probability, in"
    " per cent, on draw 0. Most often taken for: the class that most of its images are mistaken for, and"
    " their share, all seeds together."
)


def classes_table(section: Section, ltbench_version: str) -> Table | None:
    """Each class on the uniform test set, of rows that do not adapt or have their own strategy.

    Of more than :data:`ALL_SHOWN` classes those with the lowest recalls, for each row; where confusions
    are stored, also those of the strongest shift to either side. CSV has all classes of all test sets.
    """
    uniform = section.uniform
    if uniform is None:
        return None
    rows = [row for row in section.rows if shown_by_class(row) and recalls_of(row, uniform)]
    if not rows:
        return None
    view = _View(section, uniform, any(arrays_of(row, uniform, _classes(section)) for row in rows))
    every = [test.name for test in section.test_sets] if view.stored else []
    whole = view.blocks(rows, dict.fromkeys([uniform, *every]))
    ends = [test.name for test in ends_of(section)] if view.stored else []
    few = view.classes <= ALL_SHOWN
    printed = view.blocks(rows, {uniform: None if few else WORST} | dict.fromkeys(ends, AT_ENDS))
    if few:
        what = "Recall (%) of each class on the uniform test set, from the most frequent class in training"
    else:
        what = (
            f"Recall (%) of single classes on the uniform test set, of each row the {WORST} lowest (the"
            f" other {view.classes - WORST} classes are in the CSV file)"
        )
    if ends:
        what += f"; on {' and '.join(t.short for t in ends_of(section))} the {AT_ENDS} lowest"
    text = caption(section, f"{what}, of", rows, (), ltbench_version)
    if any(value == NOT_APPLICABLE for block in whole for row in block.rows for value in row):
        text += " n/a: no test images" + (" or never predicted." if view.stored else ".")
    return Table(
        name="classes",
        title="Single classes" + ("" if view.stored else " on the uniform test set"),
        caption=text + (_EXPLAINED if view.stored else ""),
        columns=view.columns,
        blocks=printed,
        notes=(
            *view.worst(rows),
            *missing_arrays_note(section, rows),
            *row_notes(section, rows),
        ),
        stored=None if printed == whole else whole,
        in_terminal=sum(len(block.rows) for block in printed) <= _TERMINAL,
    )


def shown_by_class(row: Row) -> bool:
    """Other strategies of a training repeat its classes; they are for the tables over the shift."""
    return (row.strategy == "none" or row.is_own) and not row.uses_true_prior


def _classes(section: Section) -> int:
    return len(section.class_names)


def ends_of(section: Section) -> list[TestSet]:
    """The strongest shift to either side."""
    shifts = [test for test in section.shifts if test.kind != "uniform"]
    return list(dict.fromkeys([*shifts[:1], *shifts[-1:]]))


@dataclass(frozen=True)
class _View:
    """stored: whether any row has more than the recalls of the record itself."""

    section: Section
    uniform: str
    stored: bool

    @property
    def classes(self) -> int:
        return _classes(self.section)

    @property
    def columns(self) -> tuple[Column, ...]:
        return (
            (LABEL, SEEDS, _TEST_SET, *_BEFORE, *_STORED)
            if self.stored
            else (LABEL, SEEDS, *_BEFORE)
        )

    def blocks(self, rows: Sequence[Row], most: dict[str, int | None]) -> tuple[Block, ...]:
        """most: of each test set how many classes, the lowest; None: all, by training rank."""

        tests = {test.name: test for test in self.section.test_sets}

        def lines(row: Row) -> Iterator[tuple[Value, ...]]:
            for name, number in most.items():
                if name in row.results:
                    yield from self._lines(row, tests[name], number)

        return blocks(self.section, lines, rows)

    def _lines(self, row: Row, test: TestSet, most: int | None) -> Iterator[tuple[Value, ...]]:
        images = images_of(row, test.name)
        arrays = arrays_of(row, test.name, self.classes)
        scores = [class_scores(one) for one in arrays.values()]
        confusion = total_confusion(list(arrays.values())) if arrays else None
        recalls = self._recalls(row, test.name, scores)
        if not recalls:
            return
        for c in _lowest(self._order(), recalls, most):
            recall = summarise(per_class[c] for per_class in recalls)
            wrong = None if confusion is None else most_confused(confusion, c)
            more: tuple[Value, ...] = (
                *(
                    _cell(scores, [getattr(one, key)[c] for one in scores])
                    for key in ("precision", "f1", "auroc")
                ),
                "" if wrong is None else f"{self.section.class_names[wrong[0]]} ({wrong[1]:.0f} %)",
            )
            before: tuple[Value, ...] = (
                self.section.class_names[c],
                self.section.train_counts[c],
                None if images is None else images[c],
                NOT_APPLICABLE if recall is None else recall,
            )
            n = seeds_of([recall]) if isinstance(recall, Summary) else len(recalls)
            yield (
                (marked(row), n, test.short, *before, *more)
                if self.stored
                else (marked(row), n, *before)
            )

    def _order(self) -> list[int]:
        return sorted(range(self.classes), key=lambda c: self.section.rank[c])

    def _recalls(
        self, row: Row, name: str, scores: Sequence[ClassScores]
    ) -> list[tuple[float | None, ...]]:
        """Of each seed: on the uniform set as recorded, which older records have, too."""
        if name == self.uniform:
            return [found.per_class for found in recalls_of(row, name).values()]
        return [one.recall for one in scores]

    def worst(self, rows: Sequence[Row]) -> tuple[str, ...]:
        """A line: of each row the classes of lowest recall on the uniform test set, by name."""
        parts = []
        for row in rows:
            recalls = self._recalls(row, self.uniform, ())
            named = [
                f"{self.section.class_names[c]} ({mean_of(r[c] for r in recalls):.1f})"
                for c in _lowest(self._order(), recalls, NAMED)
            ]
            parts.append(f"{row.label}: {', '.join(named)}")
        return (f"lowest recalls on the uniform test set (%): {'; '.join(parts)}",)


def _cell(scores: Sequence[ClassScores], values: Sequence[float | None]) -> Value:
    """None: not stored; n/a: stored, and there is no such number."""
    if not scores:
        return None
    found = summarise(values)
    return NOT_APPLICABLE if found is None else found


def _lowest(
    order: Sequence[int], recalls: Sequence[tuple[float | None, ...]], most: int | None
) -> list[int]:
    """Equal recalls in the given order; a class without test images has none."""
    if most is None:
        return list(order)
    means = [(mean_of(r[c] for r in recalls), place, c) for place, c in enumerate(order)]
    known = [(round(mean, 9), place, c) for mean, place, c in means if mean is not None]
    return [c for _, _, c in sorted(known)[:most]]


TABLES = (TableKind(45, classes_table),)
