"""List files of images, ``path label`` a line, as the long-tail code bases share them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import overload

import numpy as np

from ltbench.data.dataset import Labels
from ltbench.data.findings import Findings, brief, shown
from ltbench.errors import DataError
from ltbench.files import read_whole

_BOM = b"\xef\xbb\xbf"
_LARGEST = 1 << 31  # bytes: some tens of millions of lines


class Paths(Sequence[str]):
    """Many paths as one byte string: what a list of texts would take, several processes take once."""

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self.joined = b"".join(encoded)
        self.ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"path {index} is outside 0..{len(self) - 1}")
        return os.fsdecode(self.joined[self.ends[index] : self.ends[index + 1]])

    def __iter__(self) -> Iterator[str]:
        for start, end in pairwise(self.ends.tolist()):
            yield os.fsdecode(self.joined[start:end])

    def mapped(self, prefixes: Mapping[str, str]) -> Paths:
        """With the first of ``prefixes`` that a path begins with exchanged for what it maps to."""
        return Paths(map_prefix(name, prefixes) for name in self) if prefixes else self


def map_prefix(name: str, prefixes: Mapping[str, str]) -> str:
    """
    >>> map_prefix("data_256/a/x.jpg", {"val/": "v/", "data_256/": "train/"})
    'train/a/x.jpg'
    """
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


@dataclass(frozen=True)
class Listing:
    """A list that was read. names: paths as listed; labels: int64 (N,); file: where it lies.

    sha256, blob: of its text with LF as line ends, in hexadecimal; blob is git's id of it.
    """

    file: Path
    names: Paths
    labels: Labels
    sha256: str
    blob: str


def read_list(path: Path, classes: int, findings: Findings) -> Listing:
    """The list at ``path``; a byte-order mark and CRLF are accepted.

    A line is split at its last space, so paths may hold some. What is wrong goes into ``findings``,
    each with file and line: blank lines, lines without a label, labels outside 0..classes-1, absolute
    paths, ``..``, a path listed twice. Raises :class:`DataError` where the file cannot be read.
    """
    try:
        text = read_whole(path, _LARGEST)
    except OSError as error:
        raise DataError(f"list {shown(path)} cannot be read: {error.strerror or error}") from error
    text = text.replace(b"\r\n", b"\n")
    sha256 = hashlib.sha256(text).hexdigest()
    blob = hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()
    lines = text.removeprefix(_BOM).split(b"\n")
    if lines[-1] == b"":  # after the end of the last line, or of an empty file
        lines.pop()
    names: list[str] = []
    labels: list[int] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, _, label = os.fsdecode(line).rpartition(" ")
        wrong = _wrong(line, name, label, classes)
        if wrong is None and name in seen:
            wrong = ("files listed twice", f"{brief(name)} is also in line {seen[name]}")
        if wrong is not None:
            findings.error(wrong[0], f"{shown(path)}, line {number}: {wrong[1]}")
            continue
        seen[name] = number
        names.append(name)
        labels.append(int(label))
    if not lines:
        findings.error("empty lists", f"{shown(path)} lists no images")
    return Listing(path, Paths(names), np.array(labels, dtype=np.int64), sha256, blob)


def _wrong(line: bytes, name: str, label: str, classes: int) -> tuple[str, str] | None:
    """Kind and text of what is wrong with a line."""
    if not line.strip():
        return "blank lines", "it is blank; each line is `path label`"
    if not name.strip() or not (label.isascii() and label.isdecimal()):
        return "lines that are no `path label`", f"{brief(os.fsdecode(line))!r} is no `path label`"
    if len(label) > 9 or int(label) >= classes:
        return "labels out of range", f"label {brief(label)} is outside 0..{classes - 1}"
    if name.startswith("/") or "\0" in name:
        return (
            "paths that are not below the folder",
            f"{brief(name)} must be a path below the folder",
        )
    if ".." in name and ".." in PurePosixPath(name).parts:
        return "paths that are not below the folder", f"{brief(name)} must not hold '..'"
    return None


def class_names(listing: Listing, classes: int) -> tuple[str, ...]:
    """The folder of each class where every class has one of its own, else the numbers of the labels.

    The shortest end of the folders' paths that tells classes apart: ``n01440764``, ``airfield``.
    """
    folders: dict[str, int] = {}
    for name, label in zip(listing.names, listing.labels.tolist(), strict=True):
        folder = name.rpartition("/")[0]
        if folders.setdefault(folder, label) != label:
            folders.clear()  # one folder of two classes
            break
    for depth in (1, 2, 3):
        found: dict[int, set[str]] = {}
        for folder, label in folders.items():
            found.setdefault(label, set()).add("/".join(folder.split("/")[-depth:]))
        ends = [next(iter(found[c])) for c in sorted(found) if len(found[c]) == 1]
        if len(ends) == classes == len(set(ends)) and all(ends):
            return tuple(map(shown, ends))
    return tuple(map(str, range(classes)))
