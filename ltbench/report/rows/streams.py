"""Rows of streams over seeds, and accuracy over the course of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltbench.report.records.bits import Bits
from ltbench.report.records.latest import latest, order
from ltbench.report.records.names import digest
from ltbench.report.records.streams import Stream, StreamRecord
from ltbench.report.rows.summary import Summary, summarise

WINDOWS = 20
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class StreamRow:
    """One row under one arrival; ``records``: one a seed, the latest where there are several."""

    label: str
    method: str
    arrival: str
    predicts: str
    uses_true_prior: bool
    records: tuple[StreamRecord, ...]
    replaced: tuple[int, ...] = ()
    undecided: tuple[int, ...] = ()

    def found(self, distribution: str, order: str) -> list[Stream]:
        """Of every seed that has it."""
        streams = (record.streams.get((distribution, order)) for record in self.records)
        return [stream for stream in streams if stream is not None]

    def cell(self, distribution: str, order: str) -> Summary | None:
        return summarise(stream.top1 for stream in self.found(distribution, order))


def stream_rows(records: Iterable[StreamRecord]) -> list[StreamRow]:
    """Largest batches first, then by label; rows of one label that differ otherwise are told apart."""
    grouped: dict[tuple[int, str, str, str, str], dict[int, list[StreamRecord]]] = {}
    for record in sorted(records, key=lambda r: order(r.created, r.trial.trial)):
        key = (
            -_size(record.arrival),
            record.arrival,
            record.label,
            record.predicts,
            record.identity,
        )
        grouped.setdefault(key, {}).setdefault(record.seed, []).append(record)
    rows = []
    for (size, arrival, label, predicts, identity), by_seed in sorted(grouped.items()):
        alike = [key for key in grouped if key[:3] == (size, arrival, label)]
        found = {s: latest(by_seed[s], lambda r: r.created, _same) for s in sorted(by_seed)}
        members = tuple(one.record for one in found.values())
        rows.append(
            StreamRow(
                label=label if len(alike) == 1 else f"{label} ({digest(predicts + identity)})",
                method=members[0].method,
                arrival=arrival,
                predicts=predicts,
                uses_true_prior=members[0].uses_true_prior,
                records=members,
                replaced=tuple(seed for seed, one in found.items() if one.replaced),
                undecided=tuple(seed for seed, one in found.items() if one.undecided),
            )
        )
    return rows


def _same(one: StreamRecord, other: StreamRecord) -> bool:
    return {k: s.top1 for k, s in one.streams.items()} == {
        k: s.top1 for k, s in other.streams.items()
    }


def _size(arrival: str) -> int:
    size = arrival.rpartition(":")[2]
    return int(size) if size.isascii() and size.isdecimal() else 1


def arrivals_of(rows: Sequence[StreamRow]) -> list[str]:
    return list(dict.fromkeys(row.arrival for row in rows))


def cumulative(correct: Bits, windows: int = WINDOWS) -> Curve:
    """Accuracy (%) of all images so far, at the end of each of ``windows`` equal parts."""
    ends = part_ends(len(correct), windows)
    total: Curve = 100.0 * np.cumsum(correct)[ends - 1] / ends
    return total


def windowed(correct: Bits, windows: int = WINDOWS) -> Curve:
    """Accuracy (%) within each of ``windows`` equal parts of the stream."""
    ends = part_ends(len(correct), windows)
    starts = np.concatenate([[0], ends[:-1]])
    right = np.add.reduceat(correct.astype(np.int64), starts)
    share: Curve = 100.0 * right / (ends - starts)
    return share


def part_ends(n: int, windows: int) -> NDArray[np.int64]:
    """Images so far at the end of each part; fewer parts where there are fewer images."""
    parts = min(windows, n)
    ends: NDArray[np.int64] = (np.arange(1, parts + 1) * n) // parts
    return ends


def mean_curve(curves: Sequence[Curve]) -> Curve | None:
    """Over seeds; every seed meets the same number of images."""
    alike = [curve for curve in curves if len(curve) == len(curves[0])]
    if not alike or len(alike) < len(curves):
        return None
    mean: Curve = np.mean(alike, axis=0)
    return mean
