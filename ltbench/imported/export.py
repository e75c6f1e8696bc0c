"""Index lists of a task's training and test sets, for other code bases to use the same images."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.dataset import Dataset
from ltbench.data.subset import ClassSubset, files_of
from ltbench.errors import InputError
from ltbench.files import write_bytes, write_json
from ltbench.shift.sampling import Indices
from ltbench.task import Task
from ltbench.version import __version__

SCHEMA = 1
MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class IndexList:
    """One file: which images of ``split`` (``train`` or ``test``), in the order of the draw."""

    path: str
    split: str
    indices: Indices
    facts: Mapping[str, Any]


def index_lists(task: Task, draws: int | None = None) -> Iterator[IndexList]:
    """The training set, the hold-out where there is one, and every draw of every test set.

    draws: how many draws of each drawn set; None: all. Sets of every image have one.
    """
    yield IndexList("train.csv", "train", task.train.indices, {"set": "train"})
    if len(task.train.holdout):
        yield IndexList("holdout.csv", "train", task.train.holdout, {"set": "holdout"})
    labels = task.splits.test.labels
    for test_set in task.test_sets:
        for draw in range(min(test_set.draws, draws or test_set.draws)):
            facts = {
                "set": test_set.name,
                "kind": test_set.kind,
                "ratio": test_set.ratio,
                "draw": draw,
            }
            chosen = test_set.indices(labels, draw)
            yield IndexList(f"test/{test_set.name}-draw{draw}.csv", "test", chosen, facts)


def export_lists(task: Task, folder: Path, draws: int | None = None) -> list[Path]:
    """Writes the lists, ``manifest.json`` and ``SHA256SUMS`` (as ``sha256sum --check`` reads it).

    A list is CSV with the columns ``index`` (0-based place in the source's own order) and ``label``;
    where images are files of their own ``file``, below the data folder, which other programs may
    number otherwise.
    Raises :class:`InputError` where ``folder`` holds something else or cannot be written.
    """
    _check_folder(folder)
    splits = {"train": task.splits.train, "test": task.splits.test}
    places = _source_places(task)
    entries, sums = [], []
    paths: list[Path] = []
    try:
        for listed in index_lists(task, draws):
            names = files_of(task.splits, listed.split)
            content = _csv(listed, splits[listed.split], places[listed.split], names)
            write_bytes(folder / listed.path, content)
            paths.append(folder / listed.path)
            digest = hashlib.sha256(content).hexdigest()
            sums.append(f"{digest}  {listed.path}\n")
            entries.append(
                {
                    "file": listed.path,
                    "split": listed.split,
                    **listed.facts,
                    "n": len(listed.indices),
                    "sha256": digest,
                    "indices_sha256": indices_digest(_source_indices(listed, splits[listed.split])),
                }
            )
        write_json(folder / MANIFEST, _manifest(task, entries))
        sums.append(f"{hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()}  {MANIFEST}\n")
        write_bytes(folder / CHECKSUMS, "".join(sums).encode())
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}") from None
    return [*paths, folder / MANIFEST, folder / CHECKSUMS]


def indices_digest(indices: Indices) -> str:
    """SHA-256 of the indices as little-endian 64-bit integers: the same from any file format."""
    return hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest()


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder for index lists")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} holds other files; choose an empty folder with --output")


def _csv(
    listed: IndexList, dataset: Dataset, places: Indices | None, names: Sequence[str]
) -> bytes:
    indices = _source_indices(listed, dataset)
    columns: list[Sequence[object]] = [indices.tolist(), dataset.labels[listed.indices].tolist()]
    heading = ["index", "label"]
    if places is not None:
        columns.append(places[indices].tolist())
        heading.append("sklearn_index")
    if names:
        columns.append([names[i] for i in listed.indices])
        heading.append("file")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue().encode("utf-8", "surrogateescape")  # names are bytes on the disk


def _source_indices(listed: IndexList, dataset: Dataset) -> Indices:
    """Places in the source itself, of which a task may use some classes only."""
    return dataset.places[listed.indices] if isinstance(dataset, ClassSubset) else listed.indices


def _source_places(task: Task) -> dict[str, Indices | None]:
    """Only the digits have an order of their own that is not the one in which ltbench reads them."""
    if task.protocol.data.source != "digits":
        return {"train": None, "test": None}
    from ltbench.data.digits import split_indices

    train, test = split_indices()
    return {"train": train, "test": test}


_AS_LISTED = "the order in which `origin` lists its images"
_ORDERS = {
    "cifar10": f"{_AS_LISTED}: data_batch_1 to 5 and test_batch of the archive, or rows of Parquet",
    "cifar100": f"{_AS_LISTED}: the archive's files train and test, or the rows of its Parquet files",
    "digits": "ltbench's split of scikit-learn's digits; sklearn_index is the place in load_digits()",
    "image-folder": f"{_AS_LISTED}: classes by name, files by name within a class; "
    "`file` is below the data folder",
    "table": f"{_AS_LISTED}; `file` is as in the table",
}


def _manifest(task: Task, entries: list[dict[str, Any]]) -> dict[str, Any]:
    protocol = task.protocol
    return {
        "schema": SCHEMA,
        "ltbench": __version__,
        "protocol": {
            "name": protocol.name,
            "version": protocol.version_of_code,
            "variant": protocol.variant,
        },
        "source": protocol.data.source,
        "origin": task.splits.origin,
        "order": _ORDERS.get(
            protocol.data.source, "the order in which the source lists its images"
        ),
        "train_fingerprint": task.splits.train.fingerprint,
        "test_fingerprint": task.splits.test.fingerprint,
        "profile": protocol.train.profile,
        "split_seed": protocol.train.split_seed,
        "class_names": list(task.splits.train.class_names),
        "train_counts": task.train.counts.tolist(),
        "rank": task.rank.tolist(),
        "groups": task.groups,
        "lists": entries,
    }
