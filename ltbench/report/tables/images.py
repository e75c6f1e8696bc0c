"""Table of intervals over test images, set apart from those over seeds."""

from __future__ import annotations

from collections.abc import Iterator

from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.statistics.images import FEW, RESAMPLES, image_intervals
from ltbench.report.tables.captions import (
    caption,
    marked,
    row_notes,
    seeds_text,
    shift_legend,
)
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, blocks, columns_of, seeds_of
from ltbench.report.tables.table import Table, Value


def images_table(section: Section, ltbench_version: str) -> Table | None:
    """Accuracy on draw 0 with a stratified bootstrap interval over its images."""
    tests = section.shifts
    found = {test.name: image_intervals(section.rows, test.name) for test in tests}
    if not any(intervals.cells for intervals in found.values()):
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        cells = [found[test.name].cells.get(row.label) for test in tests]
        if any(cells):
            yield (marked(row), seeds_of(cells), *cells)

    unknown = [test.short for test in tests if not found[test.name].stratified]
    note = f" The class of an image is not told for {', '.join(unknown)}: there, not by class."
    few = ""
    if any(intervals.wilson for intervals in found.values()):
        few = (
            f"; of Wilson's interval for a proportion where the bootstrap has no width or fewer than {FEW}"
            " images are right or wrong"
        )
    what = f"Top-1 accuracy (%) on draw 0 of the test distributions ({shift_legend(tests)}) of"
    return Table(
        name="test-images",
        title="Uncertainty from the test images",
        caption=f"{without_averaging(caption(section, what, section.rows, tests, ltbench_version))}"
        f" ± is half the length of the 95 % percentile interval of a bootstrap over test images"
        f" ({RESAMPLES:,} resamples, images drawn within each class, each with its mean over the"
        f" seeds, {seeds_text(len(row.seeds) for row in section.rows)}){few}. It covers which"
        " images of each class draw 0 holds, the finite test set and the draw from it; not the training"
        f" seed.{note if unknown else ''}",
        columns=(LABEL, SEEDS, *columns_of(tests)),
        blocks=blocks(section, lines),
        notes=row_notes(section, section.rows),
    )


def without_averaging(text: str) -> str:
    """The caption's first and last sentence: its averages and intervals are not those meant here."""
    first, _, rest = text.partition(" Mean over ")
    _, mark, conditions = rest.partition(" Precision ")
    return f"{first}{mark}{conditions}"


TABLES = (TableKind(150, images_table),)
