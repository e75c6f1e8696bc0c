"""``--strict``: rows of one table that do not stand on the same: on seeds, on a GPU or a CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from ltbench.errors import InputError
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.streams import stream_rows

_Rows = Sequence[tuple[str, Set[int]]]  # label, and the seeds that it has or that diverged


def refuse_uneven(sections: Sequence[Section]) -> None:
    """Raises :class:`InputError` naming the first table of a GPU and a CPU, or row that lacks seeds.

    A seed whose training diverged is not missing: it is the method's result, which the table counts.
    Rows that a selection left out may lack seeds, but not be of another kind of device: those shown are
    compared with them.
    """
    for section in sections:
        processors, accelerators = _devices(section)
        if processors and accelerators:
            told = f"{', '.join(accelerators)} (GPU) and on {', '.join(processors)} (CPU)"
            raise InputError(f"--strict: {section.title}: trained on {told}; report them apart")
        for table, rows in _tables(section):
            for label, missing in _lacking(rows):
                seeds = f"seed{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
                raise InputError(
                    f"--strict: {section.title}: {label} lacks {seeds} on {table}, which other rows"
                    " have; run them, or show rows of the same seeds (--methods)"
                )


def _devices(section: Section) -> tuple[list[str], list[str]]:
    """Of all records that tell one, CPUs and others."""
    found = {e.trial.device for row in section.everything for e in row.evaluations}
    found |= {record.trial.device for record in section.streams}
    known = sorted(found - {""})
    return [d for d in known if d == "cpu"], [d for d in known if d != "cpu"]


def _tables(section: Section) -> Iterator[tuple[str, _Rows]]:
    """What is averaged over seeds, by its name: each test set, and the streams of each arrival."""
    for test in section.test_sets:
        standing = [row for row in section.rows if _stands(row, test.name)]
        for joined in (False, True):  # replicates of an ensemble are numbered for themselves
            alike = [row for row in standing if _is_ensemble(row) == joined]
            yield test.name, [(row.label, _seeds(row, test.name)) for row in alike]
    by_arrival: dict[str, list[tuple[str, Set[int]]]] = {}
    for row in stream_rows(section.streams):
        seeds = {record.seed for record in row.records}
        by_arrival.setdefault(row.arrival, []).append((row.label, seeds))
    for arrival, rows in by_arrival.items():
        yield f"streams of arrival {arrival}", rows


def _is_ensemble(row: Row) -> bool:
    return any(e.trial.members for e in row.evaluations)


def _stands(row: Row, test_set: str) -> bool:
    """Rows that were never evaluated on a set have no cell there; those without any result do count."""
    return test_set in row.results or not row.results


def _seeds(row: Row, test_set: str) -> Set[int]:
    found: Mapping[int, object] = row.results.get(test_set, {})
    return found.keys() | {f.seed for f in row.failures if f.status == "diverged"}


def _lacking(rows: _Rows) -> Iterator[tuple[str, list[int]]]:
    every = {seed for _, seeds in rows for seed in seeds}
    for label, seeds in rows:
        if missing := sorted(every - seeds):
            yield label, missing
