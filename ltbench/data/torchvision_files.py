"""Files of published sets in the formats that torchvision unpacks, read without torchvision.

Its own classes compute checksums of hundreds of megabytes at each start, load older files by
``torch.load`` and say of whatever is missing "Dataset not found"; here a file is named.
Labels are whole numbers from 0, in torchvision's order; tests compare both readings.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from ltbench.data.dataset import Images, Labels
from ltbench.data.findings import shown
from ltbench.data.folder_scan import is_litter
from ltbench.errors import DataError, LtbenchError, describe
from ltbench.files import refuse_endless

Labelled: TypeAlias = list[tuple[Path, int]]
_MOST = 1 << 30  # bytes of one file, unpacked; the largest, of EMNIST by class, has 547 MB


@dataclass(frozen=True)
class Listed:
    """Image files of a set with their labels, and the names of its classes by label."""

    names: tuple[str, ...]
    train: Labelled
    test: Labelled
    holdout: Labelled


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with ``path`` as one line that names it."""
    try:
        refuse_endless(path)
        yield
    except LtbenchError as error:
        if shown(path) in str(error):
            raise
        raise DataError(f"{shown(path)}: {error}") from None
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # parsers raise many kinds
        raise DataError(f"{shown(path)} is not of its format: {describe(error)}") from error


def read_idx(path: Path) -> Images:
    """An IDX file of bytes (MNIST and its kin), with or without ``.gz``: uint8 of its own shape."""
    with reading(path):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = _bounded(file, path)
        zero, kind, axes = int.from_bytes(content[:2], "big"), content[2], content[3]
        if zero != 0 or kind != 8:
            raise DataError(f"{shown(path)} is no IDX file of bytes")
        start = 4 + 4 * axes
        shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
        values = np.frombuffer(content, np.uint8, offset=start)
        if len(shape) != axes or values.size != np.prod(shape, dtype=np.int64):
            raise DataError(
                f"{shown(path)} has {values.size} bytes for an array {shape}; is it whole?"
            )
        return values.reshape(shape)


def _bounded(file: gzip.GzipFile | bz2.BZ2File | BinaryIO, path: Path) -> bytes:
    """All of it. Raises :class:`DataError` where it unpacks to more than any of these sets holds."""
    content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise DataError(f"{shown(path)} unpacks to more than {_MOST:,} bytes; is it what it says?")
    return content


def read_idx_pair(images: Path, labels: Path) -> tuple[Images, Labels]:
    """Grey images ``(N, H, W)`` and their labels ``(N,)``."""
    return read_idx(images), read_idx(labels).astype(np.int64)


_NUMBERS = {"double", "single", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64))}


def _read_mat(path: Path, *names: str) -> dict[str, Any]:
    """The arrays of these names in a MATLAB file. What it says it holds is looked at first: scipy's reader
    of anything but numbers ended the process on a damaged file."""
    from scipy.io import loadmat, whosmat

    kinds = {name: kind for name, _, kind in whosmat(path)}
    for name in names:
        if kinds.get(name) not in _NUMBERS:
            told = kinds.get(name, "absent")
            raise DataError(f"{shown(path)}: {name} must be an array of numbers; it is {told}")
    found: dict[str, Any] = loadmat(path, variable_names=names)
    return found


def read_svhn(path: Path) -> tuple[Images, Labels]:
    """``X`` ``(32, 32, 3, N)`` as images ``(N, 3, 32, 32)``, ``y`` with 10 for the digit 0."""
    with reading(path):
        found = _read_mat(path, "X", "y")
        labels = found["y"].astype(np.int64).reshape(-1)
        images: Images = found["X"].transpose(3, 2, 0, 1)
        return images, np.where(labels == 10, 0, labels)


def read_usps(path: Path) -> tuple[Images, Labels]:
    """Lines ``label 1:value ... 256:value``, labels 1 to 10, values in [-1, 1]; images ``(N, 16, 16)``."""
    with reading(path), bz2.open(path) as file:
        rows = [line.split() for line in _bounded(file, path).decode().splitlines()]
        values = [[cell.rpartition(":")[2] for cell in row[1:]] for row in rows]
        grey = np.asarray(values, dtype=np.float32).reshape(-1, 16, 16)
        labels = np.array([int(row[0]) - 1 for row in rows], dtype=np.int64)
        return ((grey + 1) / 2 * 255).astype(np.uint8), labels


def list_food101(base: Path) -> Listed:
    """``meta/train.json`` and ``meta/test.json``: class to names below ``images``."""
    found = {}
    for split in ("train", "test"):
        path = base / "meta" / f"{split}.json"
        with reading(path):
            found[split] = dict(json.loads(path.read_text(encoding="utf-8")))
    names = tuple(sorted(found["train"]))
    numbers = {name: label for label, name in enumerate(names)}
    parts = []
    for split, listed in found.items():
        with reading(base / "meta" / f"{split}.json"):
            parts.append(
                [
                    (base / "images" / f"{file}.jpg", _number(numbers, name))
                    for name, files in listed.items()
                    for file in files
                ]
            )
    return Listed(names, parts[0], parts[1], [])


def list_flowers102(base: Path, names: Sequence[str]) -> Listed:
    """``imagelabels.mat``: the class, from 1, of each image; ``setid.mat``: their numbers in each split."""
    splits = ("trnid", "tstid", "valid")
    with reading(base / "imagelabels.mat"):
        found = _read_mat(base / "imagelabels.mat", "labels")
        labels = found["labels"].reshape(-1).astype(int) - 1
    with reading(base / "setid.mat"):
        ids = _read_mat(base / "setid.mat", *splits)
        parts = [
            [(base / "jpg" / f"image_{i:05d}.jpg", int(labels[i - 1])) for i in ids[key].flat]
            for key in splits
        ]
    return Listed(tuple(names), *parts)


def list_gtsrb(base: Path) -> Listed:
    """Class folders ``GTSRB/Training/00000`` and on; ``GT-final_test.csv`` names the test images."""
    root = base / "GTSRB" / "Training"
    folders = _folders(root)
    train = []
    for label, folder in enumerate(folders):
        if not folder.name.isdecimal() or int(folder.name) != label:
            raise DataError(
                f"{shown(folder)}: class folders must be numbered from 00000 without a gap"
            )
        train += [(path, label) for path in sorted(folder.glob("*.ppm"))]
    path = base / "GT-final_test.csv"
    with reading(path), path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";", skipinitialspace=True))
        images = base / "GTSRB" / "Final_Test" / "Images"
        test = [(images / row["Filename"], int(row["ClassId"])) for row in rows]
    return Listed(tuple(map(str, range(len(folders)))), train, test, [])


def list_dtd(base: Path, partition: int) -> Listed:
    """``labels/train1.txt`` and its kin list ``<class>/<file>`` below ``images``."""
    home = base / "dtd"
    found: dict[str, list[tuple[str, str]]] = {}
    for split in ("train", "test", "val"):
        path = home / "labels" / f"{split}{partition}.txt"
        with reading(path):
            lines = path.read_text(encoding="utf-8").split("\n")
            pairs = [line.strip().split("/") for line in lines if line.strip()]
            found[split] = [(name, file) for name, file in pairs]
    names = tuple(sorted({name for name, _ in found["train"]}))
    numbers = {name: label for label, name in enumerate(names)}
    parts = []
    for split, pairs_ in found.items():
        with reading(home / "labels" / f"{split}{partition}.txt"):
            parts.append(
                [(home / "images" / name / file, _number(numbers, name)) for name, file in pairs_]
            )
    return Listed(names, *parts)


def list_aircraft(base: Path, level: str) -> Listed:
    """``images_<level>_<split>.txt`` has lines ``<image> <class>``; classes as in ``variants.txt``."""
    data = base / "data"
    plural = {"variant": "variants", "family": "families", "manufacturer": "manufacturers"}[level]
    with reading(data / f"{plural}.txt"):
        lines = (data / f"{plural}.txt").read_text(encoding="utf-8").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    numbers = {name: label for label, name in enumerate(names)}
    parts = []
    for split in ("train", "test", "val"):
        path = data / f"images_{level}_{split}.txt"
        with reading(path):
            pairs = [
                line.strip().split(" ", 1)
                for line in path.read_text(encoding="utf-8").splitlines()
                if line.strip()
            ]
            parts.append(
                [
                    (data / "images" / f"{image}.jpg", _number(numbers, name))
                    for image, name in pairs
                ]
            )
    return Listed(names, *parts)


def list_class_folders(root: Path) -> tuple[tuple[str, ...], Labelled]:
    """Names of the class folders, sorted as text, and the files in them, sorted; hidden ones left out."""
    folders = _folders(root)
    files: Labelled = []
    for label, folder in enumerate(folders):
        with reading(folder):
            inside = sorted(folder.iterdir())
        files += [(path, label) for path in inside if path.is_file() and not is_litter(path)]
    return tuple(folder.name for folder in folders), files


def _folders(root: Path) -> list[Path]:
    with reading(root):
        found = sorted(path for path in root.iterdir() if path.is_dir() and not is_litter(path))
    if not found:
        raise DataError(f"{shown(root)} has no class folders")
    return found


def _number(numbers: dict[str, int], name: Any) -> int:
    if name not in numbers:
        raise DataError(f"class {name!r} is listed, but is none of the {len(numbers)} classes")
    return numbers[name]
