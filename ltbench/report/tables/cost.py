"""Table of what a method costs: network, training and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ltbench.report.records.schema import Evaluation
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, mean_of
from ltbench.report.tables.captions import marked
from ltbench.report.tables.shift import LABEL, PARAMETERS, SEEDS, blocks
from ltbench.report.tables.table import NOT_APPLICABLE, Column, Shown, Table, Value

_COLUMNS = (
    LABEL,
    Column("experts", "Experts", plain=True),
    PARAMETERS,
    Column("macs", "MACs (M)", digits=2),
    Column("epochs", "Epochs", plain=True),
    SEEDS,
    Column("images_per_second", "Images/s", digits=0),
    Column("training_seconds", "Training (s)"),
    Column("evaluation_seconds", "Evaluation (s)"),
    Column("device", "Device", text=True),
)


def cost_table(section: Section, ltbench_version: str) -> Table | None:
    """A line per row; post-hoc rows carry the cost of the training that they share."""
    rows = [row for row in section.rows if row.evaluations]
    if not rows:
        return None

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        if row.evaluations:
            devices = sorted({e.trial.device for e in row.latest.values()} - {""})
            yield (
                marked(row),
                row.experts,
                row.parameters,
                _number(macs(row)),
                _epochs({e.trial.cost.epochs for e in row.latest.values()}),
                len(row.seeds),
                _number(_mean(row, lambda e: e.trial.cost.images_per_second)),
                _number(training_seconds(row)),
                _number(_mean(row, lambda e: e.seconds)),
                ", ".join(devices) or NOT_APPLICABLE,
            )

    key = section.key
    variant = f", variant {key.variant}" if key.variant else ""
    return Table(
        name="cost",
        title="Cost",
        caption=f"Cost on {key.protocol} version {key.version}{variant}, mean over the seeds."
        " MACs: multiply-accumulates of one test image through the network, in millions. Training"
        " and evaluation are wall times of one trial on the machine that ran it and compare only on"
        " the same idle machine; rows that share a training carry its whole cost."
        f" {NOT_APPLICABLE}: not in the records. Precision {key.precision}; ltbench"
        f" {ltbench_version}.",
        columns=_COLUMNS,
        blocks=blocks(section, lines),
    )


def _epochs(found: set[int | None]) -> Value:
    if len(found) > 1:
        return Shown("several")
    return next(iter(found)) or NOT_APPLICABLE


def macs(row: Row) -> float | None:
    """In millions."""
    value = _mean(row, lambda e: e.macs)
    return None if value is None else value / 1e6


def training_seconds(row: Row) -> float | None:
    return _mean(row, lambda e: e.trial.cost.training_seconds)


def _mean(row: Row, pick: Callable[[Evaluation], float | None]) -> float | None:
    return mean_of(pick(evaluation) for evaluation in row.latest.values())


def _number(value: float | None) -> Value:
    # Times of other seeds say nothing about precision: a mean without an interval.
    return NOT_APPLICABLE if value is None else Summary(value, None, 0)
