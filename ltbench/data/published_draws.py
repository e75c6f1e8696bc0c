"""Published lists of shifted test sets, found by name and met with the test images by path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ltbench.data.cache import cache_root
from ltbench.data.dataset import FileNames
from ltbench.data.findings import Findings, shown
from ltbench.data.list_file import Listing, read_list
from ltbench.data.official_lists import official
from ltbench.errors import DataError
from ltbench.settings import show
from ltbench.shift.testset import PublishedDraw

SHIFTED = ("forward", "backward")


def shifted_names(ratios: Iterable[float]) -> list[str]:
    """``["forward2", "backward2", ...]``"""
    return [f"{kind}{show(ratio)}" for ratio in sorted(ratios) for kind in SHIFTED]


def find_published(
    template: str, names: Sequence[str], files: FileNames, classes: int
) -> tuple[dict[str, PublishedDraw], list[str]]:
    """By name of the test set its published list, and the files that are not here.

    A list lies in the folder of images, beside it, or where ``ltbench data prepare --lists`` keeps those
    it knows. Raises :class:`DataError` for a list that names an image that is no test image, or with
    another label than there.
    """
    found: dict[str, PublishedDraw] = {}
    absent: list[str] = []
    places = _Places(files.test)
    for name in names:
        file = template.replace("{name}", name)
        path = list_path(file, files.root, classes)
        if path is None:
            absent.append(file)
        else:
            found[name] = _met(read(path, classes), places, classes)
    return found, absent


def list_path(file: str, root: Path, classes: int) -> Path | None:
    """Where a list lies; one that is kept counts only where it is the published one."""
    for place in (root / file, root.parent / file):
        if place.is_file():
            return place
    kept = kept_path(file)
    return kept if kept.is_file() and official(read(kept, classes)) is not None else None


def kept_path(file: str) -> Path:
    return cache_root() / "lists" / Path(file).name


def read(path: Path, classes: int) -> Listing:
    """Raises :class:`DataError`, one line, for whatever is wrong with its lines."""
    findings = Findings()
    listing = read_list(path, classes, findings)
    findings.refuse()
    return listing


class _Places:
    """Places of test images by listed path, or by file name where no two images share one.

    Published layouts differ in folders only: ``val/ILSVRC2012_val_00029930.JPEG`` stands in
    ``val/n01440764/`` in another.
    """

    def __init__(self, test: Sequence[tuple[str, int]]) -> None:
        self.labels = np.empty(len(test), dtype=np.int64)
        self._by_path: dict[str, int] = {}
        self._by_name: Mapping[str, int] | None = None
        for i, (path, label) in enumerate(test):
            self._by_path[path], self.labels[i] = i, label

    def of(self, path: str) -> int | None:
        place = self._by_path.get(path)
        if place is None:
            if self._by_name is None:
                last = {_last(known): i for known, i in self._by_path.items()}
                self._by_name = last if len(last) == len(self._by_path) else {}
            place = self._by_name.get(_last(path))
        return place


def _last(path: str) -> str:
    return PurePosixPath(path).name


def _met(listing: Listing, places: _Places, classes: int) -> PublishedDraw:
    indices = np.empty(len(listing.names), dtype=np.int64)
    for line, (name, label) in enumerate(zip(listing.names, listing.labels.tolist(), strict=True)):
        place = places.of(name)
        where = f"{shown(listing.file)}, line {line + 1}: {shown(name)}"
        if place is None:
            raise DataError(f"{where} is none of the test images; is it a list of another set?")
        if places.labels[place] != label:
            raise DataError(
                f"{where} has label {label} here and {places.labels[place]} in the test list"
            )
        indices[line] = place
    twice = len(indices) - len(np.unique(indices))
    if twice:
        raise DataError(f"{shown(listing.file)}: {twice} of its images are listed twice")
    counts = np.bincount(listing.labels, minlength=classes).astype(np.int64)
    by_class = indices[np.argsort(listing.labels, kind="stable")]
    return PublishedDraw(by_class, counts, listing.file.name, listing.sha256)
