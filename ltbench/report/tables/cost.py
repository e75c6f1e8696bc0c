"""Table of what a method costs: network, training and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from ltbench.report.records.schema import Evaluation, Trial
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import Summary, mean_of
from ltbench.report.tables.captions import marked, rules, seeds_text
from ltbench.report.tables.kind import TableKind
from ltbench.report.tables.order import Group, blocks_of, groups_of
from ltbench.report.tables.shift import LABEL, PARAMETERS, SEEDS
from ltbench.report.tables.table import NOT_APPLICABLE, Column, Shown, Table, Value

DITTO = "″"
_COLUMNS = (
    LABEL,
    Column("experts", "Experts", plain=True),
    PARAMETERS,
    Column("epochs", "Epochs", plain=True),
    SEEDS,
    Column("images_per_second", "Images/s", digits=0),
    Column("macs", "MACs (M)", digits=2),
    Column("training_seconds", "Training (s)"),
    Column("evaluation_seconds", "Evaluation (s)"),
    Column("device", "Device", text=True),
)


def cost_table(section: Section, ltbench_version: str) -> Table | None:
    """A line per row, those of one training together; it is told once what that training took."""
    rows = [row for row in section.rows if row.evaluations]
    if not rows:
        return None

    groups = _groups(rows, section.group_by)
    shared = _repeated(groups)

    def lines(row: Row) -> Iterator[tuple[Value, ...]]:
        if row.evaluations:
            once = _ditto if row.label in shared else _number
            devices = sorted({_device(e.trial) for e in row.latest.values()} - {""})
            yield (
                marked(row),
                row.experts,
                row.parameters,
                _epochs({e.trial.cost.epochs for e in row.latest.values()}),
                len(row.seeds),
                once(_mean(row, lambda e: e.trial.cost.images_per_second)),
                _number(macs(row)),
                once(training_seconds(row)),
                _number(_mean(row, lambda e: e.seconds)),
                ", ".join(devices) or NOT_APPLICABLE,
            )

    key = section.key
    return Table(
        name="cost",
        title="Cost",
        caption=f"Cost on {rules(section)}, mean over the seeds"
        f" ({seeds_text(len(row.seeds) for row in rows)})."
        " MACs: multiply-accumulates of one test image through the network, in millions. Training"
        " and evaluation are wall times of one trial on the machine that ran it and compare only on"
        " the same idle machine."
        + (
            " After a device stands what made training faster there (words of --speed)."
            if any(e.trial.speed for row in rows for e in row.latest.values())
            else ""
        )
        + (
            f" {DITTO}: the training is that of the row above it (of its block, once sorted), told once."
            if shared
            else ""
        )
        + (
            " Of an ensemble experts, parameters, MACs and training time are sums over its members, and"
            " n counts replicates, which share no member."
            if any(e.trial.members for row in rows for e in row.latest.values())
            else ""
        )
        + f" {NOT_APPLICABLE}: not in the records. Precision {key.precision}; ltbench"
        f" {ltbench_version}.",
        columns=_COLUMNS,
        blocks=blocks_of(groups, lines),
    )


def _device(trial: Trial) -> str:
    return f"{trial.device} ({'+'.join(trial.speed)})" if trial.speed else trial.device


def _groups(rows: Sequence[Row], group_by: str) -> list[Group]:
    """As asked for; else a group for the very same trials, in the order of the first rows."""
    if group_by:
        return groups_of(rows, group_by)
    found: dict[object, dict[frozenset[str], list[Row]]] = {}
    for row in rows:  # what other seeds of one training are in stands beside it
        found.setdefault((row.training, row.recipe), {}).setdefault(_trials(row), []).append(row)
    return [Group("", tuple(same)) for trials in found.values() for same in trials.values()]


def _trials(row: Row) -> frozenset[str]:
    return frozenset(evaluation.trial.trial for evaluation in row.latest.values())


def _repeated(groups: Sequence[Group]) -> set[str]:
    """Labels of the rows whose trials are those of the row above."""
    pairs = [pair for group in groups for pair in pairwise(group.rows)]
    return {below.label for above, below in pairs if _trials(above) == _trials(below)}


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


def _ditto(value: float | None) -> Value:
    return NOT_APPLICABLE if value is None else Shown(DITTO, value)


def _number(value: float | None) -> Value:
    # Times of other seeds say nothing about precision: a mean without an interval.
    return NOT_APPLICABLE if value is None else Summary(value, None, 0)


TABLES = (TableKind(180, cost_table),)
