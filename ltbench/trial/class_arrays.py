"""What a row got right and wrong by class, in an array file beside its record. Needs no torch.

``evaluations/<name>.npz`` belongs to ``evaluations/<name>.json``; records of before there were such
files, and published ones, have none. Nothing in it is pickled.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltbench.bombs import refuse_bomb
from ltbench.files import read_whole, write_bytes
from ltbench.trial.sparse_counts import Confusion, cells_of, from_cells

SUFFIX = ".npz"
_MOST = 1 << 28  # bytes of all arrays, unpacked
_AREAS = ("auroc", "average_precision")


@dataclass(frozen=True, eq=False)
class ClassArrays:
    """By class, on one test distribution.

    definition: of the test set, as canonical JSON; draws: how many were counted, from draw 0 on.
    confusion: ``(C, C)`` int64, images of class i that were taken for class j, summed over the draws
    (where an adapted predictor is scored on every image of a pool: over all images, for each draw).
    auroc, average_precision: ``(C,)`` float64 in [0, 1], one class against the rest by its softmax
    probability, on draw 0; NaN where the class or the rest has no image.
    thresholds ``(draws,)`` float64 and at_threshold ``(2, 2)`` int64, of two classes where there is a
    hold-out: the threshold chosen there for each draw, and the confusions under it; else None.
    """

    definition: str
    draws: int
    confusion: Confusion
    auroc: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    thresholds: NDArray[np.float64] | None = None
    at_threshold: NDArray[np.int64] | None = None

    def covers(self, definition: Mapping[str, Any], draws: int) -> bool:
        """Whether these are all ``draws`` of the test set of this definition."""
        return self.definition == canonical(definition) and self.draws == draws


def canonical(definition: Mapping[str, Any]) -> str:
    """One text per JSON value, whatever the order of its keys."""
    return json.dumps(definition, sort_keys=True, ensure_ascii=False)


def arrays_path(record: Path) -> Path:
    """The array file of the record ``evaluations/<name>.json``."""
    return record.with_suffix(SUFFIX)


def write_arrays(path: Path, found: Mapping[str, ClassArrays]) -> None:
    """Whole or not at all, compressed. Of confusion matrices only what is not 0 is stored.

    names, definitions, draws: ``(T,)``, of T test sets; confusion: ``(K, 4)`` uint32 rows of test set,
    class, predicted class and count; auroc, average_precision: ``(T, C)`` float64; thresholds:
    ``(T, D)`` float64, NaN where there is none; at_threshold: ``(T, 2, 2)`` uint32.
    """
    sets = list(found.values())
    cells = [np.zeros((0, 4), dtype=np.uint32)]
    most = max((one.draws for one in sets), default=0)
    thresholds = np.full((len(sets), most), np.nan)
    at = np.zeros((len(sets), 2, 2), dtype=np.uint32)
    for t, one in enumerate(sets):
        true, predicted, counts = cells_of(one.confusion)
        cell = [np.full_like(true, t), true, predicted, counts]
        cells.append(np.stack(cell, axis=1).astype(np.uint32))
        if one.thresholds is not None and one.at_threshold is not None:
            thresholds[t, : one.draws] = one.thresholds
            at[t] = one.at_threshold
    arrays: dict[str, NDArray[Any]] = {
        "names": np.array(list(found), dtype=np.str_),
        "definitions": np.array([one.definition for one in sets], dtype=np.str_),
        "draws": np.array([one.draws for one in sets], dtype=np.int64),
        "confusion": np.concatenate(cells),
        **{key: np.array([getattr(one, key) for one in sets]) for key in _AREAS},
    }
    if not np.isnan(thresholds).all():
        arrays |= {"thresholds": thresholds, "at_threshold": at}

    content = io.BytesIO()  # small: so that a full disk can be told how much is needed
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, ClassArrays]:
    """By test distribution. Raises :class:`ValueError` where the file is missing or damaged."""
    try:
        whole = io.BytesIO(read_whole(path))  # NumPy leaves a damaged file open
        refuse_bomb(whole, _MOST)
        with np.load(whole, allow_pickle=False) as file:
            return _distributions({key: file[key] for key in file.files})
    except Exception as error:  # NumPy raises whatever a damaged header or archive leads it to
        raise ValueError(f"{path} is not readable: {error}") from error


def _distributions(file: Mapping[str, NDArray[Any]]) -> dict[str, ClassArrays]:
    names, cells = file["names"].tolist(), file["confusion"].astype(np.int64)
    sets, classes = len(names), file["auroc"].shape[-1]
    if any(file[key].shape != (sets, classes) for key in _AREAS):
        raise ValueError(f"auroc and average_precision must have {sets} x {classes} values")
    if cells.ndim != 2 or cells.shape[1] != 4:
        raise ValueError(f"confusion has shape {cells.shape}, expected (K, 4)")
    if len(cells) and cells[:, 0].max() >= sets:
        raise ValueError(f"confusion tells of a test set beyond the {sets} that there are")
    thresholds, at = file.get("thresholds"), file.get("at_threshold")
    found = {}
    for t, name in enumerate(names):
        draws = int(file["draws"][t])
        confusion = from_cells(classes, *cells[cells[:, 0] == t, 1:].T)
        one = ClassArrays(
            str(file["definitions"][t]), draws, confusion, *(file[key][t] for key in _AREAS)
        )
        if thresholds is not None and at is not None:
            own = thresholds[t, :draws]
            if not np.isnan(own).any():
                one = replace(one, thresholds=own, at_threshold=at[t].astype(np.int64))
        found[name] = one
    return found


@dataclass(frozen=True, eq=False)
class ArraysFile:
    """An array file that is read when it is asked for, once; the record's own test sets are kept."""

    path: Path

    @cached_property
    def _read(self) -> dict[str, ClassArrays]:
        try:
            return read_arrays(self.path)
        except ValueError:
            return {}

    def of(self, name: str, definition: str, draws: int, classes: int) -> ClassArrays | None:
        """None where the file is missing or damaged, or is not of this test set and these draws."""
        found = self._read.get(name)
        if found is None or found.definition != definition or len(found.confusion) != classes:
            return None
        return found if found.draws == draws else None
