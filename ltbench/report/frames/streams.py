"""``load_streams``: all streams of a results folder as one tidy table."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.errors import InputError
from ltbench.report.frames.columns import ROW_COLUMNS, row_values
from ltbench.report.records.read import read_records
from ltbench.report.records.streams import Stream, StreamRecord
from ltbench.report.rows.streams import cumulative, part_ends, windowed

STREAM_COLUMNS: dict[str, str] = {
    **ROW_COLUMNS,
    "arrival": "str",
    "distribution": "str",
    "order": "str",
    "window": "int64",
    "n_seen": "int64",
    "n_images": "int64",
    "top1": "float64",
    "cumulative": "float64",
    "predicts": "str",
    "drift": "float64",
    "kind": "str",
    "label": "str",
    "uses_true_prior": "bool",
    "mode": "str",
    "precision": "str",
    "train_fingerprint": "str",
    "test_fingerprint": "str",
    "trial": "str",
}


def load_streams(path: str | PathLike[str] = "results", windows: int = 1) -> pd.DataFrame:
    """Accuracy over the course of every stream (``arrival=``), one row per stream and window.

    Args:
        path: a results folder; ``path/published`` is read only when it is the path itself.
        windows: each stream is cut into so many equal parts (fewer where it has fewer images);
            1 gives one row per stream.

    Returns:
        A frame with the columns of :data:`STREAM_COLUMNS`, sorted. ``top1`` is the accuracy within
        the window, ``cumulative`` that of all images so far, both in per cent; ``window`` counts
        from 1, ``n_seen`` is the number of images at its end, ``n_images`` that of the window.
        ``order`` is ``random`` or ``drifting``; ``drift`` says by how much the latter drifts.
        ``predicts`` says whether a batch is predicted ``before`` or ``after`` adapting on it, or
        with nothing adapted (``fixed``).

    Raises:
        InputError: ``path`` is missing or no folder, or ``windows`` is no whole number from 1.
    """
    if isinstance(windows, bool) or not isinstance(windows, int) or windows < 1:
        raise InputError(f"windows = {windows!r} must be a whole number of at least 1")
    records = sorted(read_records(Path(path)).streams, key=_order)
    rows = [row for record in records for row in _rows(record, windows)]
    return pd.DataFrame(rows, columns=list(STREAM_COLUMNS)).astype(STREAM_COLUMNS)


def _order(record: StreamRecord) -> tuple[str | int, ...]:
    r = record
    return (
        *(r.protocol.name, r.protocol.version, r.protocol.variant),
        *(r.train_fingerprint, r.test_fingerprint, r.precision, r.mode),
        *(r.method, r.method_params, r.strategy, r.strategy_params),
        *(r.seed, r.trial.trial, r.arrival, r.created),
    )


def _rows(record: StreamRecord, windows: int) -> Iterator[dict[str, object]]:
    for (distribution, order), stream in record.streams.items():
        for window in _windows(stream, windows):
            yield {
                **row_values(record),
                "arrival": record.arrival,
                "distribution": distribution,
                "order": order,
                **window,
                "predicts": record.predicts,
                "drift": record.drift,
                "kind": stream.kind,
                "label": record.label,
                "uses_true_prior": record.uses_true_prior,
                "mode": record.mode,
                "precision": record.precision,
                "train_fingerprint": record.train_fingerprint,
                "test_fingerprint": record.test_fingerprint,
                "trial": record.trial.trial,
            }


def _windows(stream: Stream, windows: int) -> Iterator[dict[str, object]]:
    ends = part_ends(stream.n, windows)
    sizes = np.diff(ends, prepend=0)
    within, so_far = windowed(stream.correct, windows), cumulative(stream.correct, windows)
    for k, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        yield {
            "window": k + 1,
            "n_seen": int(end),
            "n_images": int(size),
            "top1": float(within[k]),
            "cumulative": float(so_far[k]),
        }
