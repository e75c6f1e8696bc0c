"""The table of streams: accuracy of rows that meet the test images one after another."""

from __future__ import annotations

from collections.abc import Iterator

from ltbench.report.records.latest import duplicate_notes
from ltbench.report.rows.sections import Section
from ltbench.report.rows.streams import StreamRow, stream_rows
from ltbench.report.rows.summary import SMALLEST_N, mean_of, summarise
from ltbench.report.tables.captions import rules, seeds_text, shift_legend
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.shift import LABEL, SEEDS, columns_of, seeds_of
from ltbench.report.tables.table import Block, Column, Table, Value

_ORDERS = ("random", "drifting")


def stream_table(section: Section, ltbench_version: str) -> Table | None:
    """Rows by arrival and order, over the test label distributions."""
    rows = stream_rows(section.streams)
    tests = section.shifts
    if not rows or not tests:
        return None

    def lines(row: StreamRow) -> Iterator[tuple[Value, ...]]:
        for order, name in _orders_of(row, [test.name for test in tests]):
            cells = [row.cell(test.name, order) for test in tests]
            if any(cell is not None for cell in cells):
                seeds = [record.seed for record in row.records]
                per_seed = [_mean(row, order, seed, [t.name for t in tests]) for seed in seeds]
                yield (
                    *(row.label, row.arrival, name, row.predicts),
                    *(seeds_of(cells), *cells, summarise(per_seed)),
                )

    blocks = []
    for arrival in dict.fromkeys(row.arrival for row in rows):
        members = [row for row in rows if row.arrival == arrival]
        plain = [line for row in members if not row.uses_true_prior for line in lines(row)]
        knowing = [line for row in members if row.uses_true_prior for line in lines(row)]
        if plain:
            blocks.append(Block(tuple(plain)))
        if knowing:
            blocks.append(Block(tuple(knowing), "knows the true prior of the whole stream"))
    key = section.key
    most = max(len(row.records) for row in rows)
    caption = (
        f"Top-1 accuracy (%) over the whole stream ({shift_legend(tests)}) of"
        f" {rules(section)}. Each test set is draw 0, its images once, in arrivals as"
        f" named; {_drift(rows)} Predicts: a batch before or after adapting on it; fixed: no"
        " adaptation. Mean over the seeds"
        f" ({seeds_text(len(row.records) for row in rows)})"
        + ("; ± is the half-width of the 95 % t interval over them" if most >= SMALLEST_N else "")
        + f". Precision {key.precision}, evaluation mode {key.mode}; ltbench {ltbench_version}."
        " A true prior is that of the whole stream: where the prior drifts it is no upper bound."
    )
    return Table(
        name="streams",
        title="Test images as a stream",
        caption=caption,
        columns=(
            LABEL,
            Column("arrival", "Arrival", text=True),
            Column("order", "Order", text=True),
            Column("predicts", "Predicts", text=True),
            SEEDS,
            *columns_of(tests),
            Column("mean", "Mean"),
        ),
        blocks=tuple(blocks),
        notes=tuple(
            note
            for row in rows
            for note in duplicate_notes(f"{row.label}, {row.arrival}", row.replaced, row.undecided)
        ),
    )


def _orders_of(row: StreamRow, tests: list[str]) -> list[tuple[str, str]]:
    """Orders and their names; one for both where the order made no difference anywhere."""
    same = all(row.cell(test, "random") == row.cell(test, "drifting") for test in tests)
    return [("random", "either")] if same else [(order, order) for order in _ORDERS]


def _mean(row: StreamRow, order: str, seed: int, tests: list[str]) -> float | None:
    """Over all test sets of a seed; None where one is missing."""
    record = next(record for record in row.records if record.seed == seed)
    found = [record.streams.get((test, order)) for test in tests]
    present = [stream.top1 for stream in found if stream is not None]
    return mean_of(present) if len(present) == len(tests) else None


def _drift(rows: list[StreamRow]) -> str:
    ratios = sorted({record.drift for row in rows for record in row.records})
    text = ", ".join(f"{ratio:g}" for ratio in ratios)
    return (
        f"drifting: the prior moves from forward to backward, ratio {text} against the set's own."
    )


TABLES = (TableKind(110, stream_table),)
