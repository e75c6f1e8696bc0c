"""Table of intervals that cover both the training seeds and the test images."""

from __future__ import annotations

from collections.abc import Iterator

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import SMALLEST_N, Summary, mean_of
from ltbench.report.statistics.combined import combined_intervals
from ltbench.report.statistics.comparison import ALPHA
from ltbench.report.tables.captions import (
    caption,
    marked,
    row_notes,
    seeds_text,
    shift_legend,
)
from ltbench.report.tables.images import without_averaging
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, columns_of, seeds_of
from ltbench.report.tables.table import Column, Table, Value


def combined_table(section: Section, ltbench_version: str) -> Table | None:
    """Accuracy on draw 0, its interval from variance components; rows of three seeds or more."""
    tests = section.shifts
    found = {test.name: combined_intervals(section.rows, test.name) for test in tests}
    if not any(found.values()):
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        own = [found[test.name].get(row.label) for test in tests]
        cells = [None if one is None else one.cell for one in own]
        share = mean_of(100.0 * one.share for one in own if one is not None)
        if share is not None:
            yield (marked(row), seeds_of(cells), *cells, Summary(share, None, 0))

    seeds = [len(r.seeds) for r in section.rows if any(r.label in f for f in found.values())]
    unknown = [
        test.short for test in tests if any(not one.stratified for one in found[test.name].values())
    ]
    note = f" The class of an image is not told for {', '.join(unknown)}: there, not by class."
    what = f"Top-1 accuracy (%) on draw 0 of the test distributions ({shift_legend(tests)}) of"
    return Table(
        name="seeds-and-images",
        title="Uncertainty from training seeds and test images together",
        caption=f"{without_averaging(caption(section, what, section.rows, tests, ltbench_version))}"
        " ± is half the length of the 95 % interval that covers both the training seed and which"
        " images of each class the test set holds (variance components of seeds crossed with images,"
        " images within classes, Satterthwaite's degrees of freedom); the class counts and the"
        f" training set do not vary. Seeds: {seeds_text(seeds)}; none below {SMALLEST_N}. Images %: share of"
        " the variance that stems from the images, mean over the distributions. Bold: the best of a column"
        " and all whose difference from it, on the same seeds and images, cannot be told from zero"
        f" (Holm's correction over the column, {100 * ALPHA:g} %); none where that is every row of"
        f" the column.{note if unknown else ''}",
        columns=(LABEL, SEEDS, *columns_of(tests), Column("images", "Images %", digits=0)),
        blocks=blocks(section, lines),
        notes=row_notes(section, section.rows),
    )


TABLES = (TableKind(160, combined_table),)
