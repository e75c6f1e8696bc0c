"""A folder of features, opened: checked cheaply at once, in full when asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ltbench.errors import DataError
from ltbench.features.header import (
    CLEAN,
    FLOAT,
    HEADER,
    HEADS,
    LABELS,
    ROW,
    TEST,
    TEXT,
    TRAIN,
    Header,
    copy_name,
    pair_file,
    read_header,
)
from ltbench.features.tensors import Array, open_tensors

_ROWS = 1 << 22  # numbers looked at together by verify: 8 MB of float16


class FeatureFolder:
    """The features of ``path``; tensors are memory maps that are opened when first asked for.

    Opening checks the header and, of each file, its size, names, shapes and types; not its digests:
    :meth:`verify` does. Raises :class:`DataError`, one line, for what is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / HEADER).is_file():
            raise DataError(f"{path} holds no {HEADER}, so it is no folder of features")
        self.header: Header = read_header(path)
        self._open: dict[str, dict[str, Array]] = {}
        for file in self.header.tensors:
            self._check_size(file)
            self._tensors(file)
        for file in (TRAIN, TEST):
            self._check_whole(file)

    def _check_size(self, file: str) -> None:
        path, wanted = self.path / file, self.header.bytes[file]
        if not path.is_file():
            raise DataError(f"{path} is missing; {HEADER} lists it")
        if (size := path.stat().st_size) != wanted:
            raise DataError(f"{path} has {size:,} bytes; {HEADER} says {wanted:,}")

    def _tensors(self, file: str) -> dict[str, Array]:
        if file not in self._open:
            found, listed = open_tensors(self.path / file), self.header.tensors[file]
            if set(found) != set(listed):
                names = ", ".join(sorted(found))
                wanted = ", ".join(sorted(listed))
                raise DataError(f"{self.path / file} holds {names}; {HEADER} says {wanted}")
            for name, entry in listed.items():
                got = (found[name].shape, found[name].dtype.name)
                if got != (entry.shape, entry.dtype):
                    raise DataError(
                        f"{self.path / file}: {name} is {got[1]} {got[0]}; {HEADER} says "
                        f"{entry.dtype} {entry.shape}"
                    )
            self._open[file] = found
        return self._open[file]

    def _check_whole(self, file: str) -> None:
        """Labels and rows are few: they are looked at whenever the folder is opened."""
        labels, row = self.labels(file), self.row(file)
        classes = len(self.header.class_names)
        if labels.min() < 0 or labels.max() >= classes:
            bad = labels[(labels < 0) | (labels >= classes)][0]
            raise DataError(
                f"{self.path / file}: label {bad} is outside 0..{classes - 1} ({classes} class names)"
            )
        if row.min() < 0 or len(np.unique(row)) != len(row):
            raise DataError(f"{self.path / file}: row must hold different numbers from 0 on")
        if file == TRAIN and self.header.whole_pool and row.max() != len(row) - 1:
            raise DataError(
                f"{self.path / file}: row goes to {row.max():,} with {len(row):,} images, so it is not "
                "the whole pool"
            )

    def labels(self, file: str) -> NDArray[np.int64]:
        return self._tensors(file)[LABELS]

    def row(self, file: str) -> NDArray[np.int64]:
        return self._tensors(file)[ROW]

    def clean(self, file: str) -> Array:
        """Float16 (N, D) or (E, N, D), a memory map."""
        return self._tensors(file)[CLEAN]

    def copy(self, number: int) -> Array:
        """An augmented copy of the training features, like :meth:`clean`."""
        return self._tensors(TRAIN)[copy_name(number)]

    def pair(self, number: int) -> tuple[Array, Array]:
        """Both views of every test image, each like :meth:`clean` of the test file."""
        found = self._tensors(pair_file(number))
        return found["a"], found["b"]

    @property
    def text(self) -> Array | None:
        """Float16 (C, D): a feature of each class's name; None where the folder has none."""
        return self._tensors(HEADS)[TEXT] if HEADS in self.header.tensors else None

    def fingerprint(self, file: str) -> str:
        """SHA-256 (hexadecimal) over shape and digest of every tensor of ``file`` and the class names."""
        digests = {
            name: [list(entry.shape), entry.sha256]
            for name, entry in self.header.tensors[file].items()
        }
        facts = {"tensors": digests, "class_names": list(self.header.class_names)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def verify(self, report: Callable[[str, int, int], None] | None = None) -> None:
        """Reads every number: digests, NaN and infinity. Raises :class:`DataError` for the first fault."""
        total, done = sum(self.header.bytes.values()), 0
        for file, entries in self.header.tensors.items():
            for name, entry in entries.items():
                values = self._tensors(file)[name].reshape(-1)
                digest = hashlib.sha256()
                for start in range(0, len(values), _ROWS):
                    part = np.ascontiguousarray(values[start : start + _ROWS])
                    if entry.dtype == FLOAT and not np.isfinite(part).all():
                        raise DataError(f"{self.path / file}: {name} holds NaN or infinity")
                    digest.update(part.data)
                    done += part.nbytes
                    if report is not None:
                        report("checking features", done, total)
                if digest.hexdigest() != entry.sha256:
                    raise DataError(
                        f"{self.path / file}: {name} has the SHA-256 {digest.hexdigest()}; {HEADER} "
                        f"says {entry.sha256}"
                    )
