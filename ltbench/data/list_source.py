"""List files of a protocol met with the folder of their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from ltbench.data.cache import cache_root
from ltbench.data.dataset import FileNames, Splits
from ltbench.data.findings import Findings, shown
from ltbench.data.found import dataset_stream
from ltbench.data.list_file import Listing, class_names, read_list
from ltbench.data.list_images import ListDataset, file_sizes
from ltbench.data.raw import Found, Raw
from ltbench.errors import DataError
from ltbench.protocol.protocol import LISTED, DataConfig, ListFile

TWICE = "files of two lists"
"""Kind of a warning: an official validation list may be cut from the images that train."""


def find_lists(root: Path, config: DataConfig) -> Found:
    """The lists of ``config``, read and checked; images are looked for when the result is opened.

    Raises :class:`DataError` where ``[data]`` lacks what lists need, and for a list that is not there
    or has another checksum; what is wrong with its lines is in the result's ``findings``.
    """
    _check_config(config)
    findings = Findings()
    listings = {
        split: _read(config.lists[split], root, config, findings)
        for split in LISTED
        if split in config.lists
    }
    names = class_names(listings["train"], config.classes)

    def opened(thorough: bool) -> Splits:
        findings.refuse()
        found = {
            split: _images(listing, root, config, names, findings, thorough)
            for split, listing in listings.items()
        }
        if thorough:
            _warn_of_shared(listings, findings)
        findings.refuse()
        return Splits(found["train"], found["test"], origin, holdout=found.get("holdout"))

    def read() -> Raw:
        splits = opened(False)
        held = None if splits.holdout is None else dataset_stream(splits.holdout)
        return Raw(
            names,
            config.image_size,
            dataset_stream(splits.train),
            dataset_stream(splits.test),
            held,
        )

    origin = f"{shown(root)} ({len(listings)} list files, {config.classes} classes)"
    listed = {s: _Pairs(each) for s, each in listings.items()}
    return Found(
        kind="lists",
        origin=origin,
        files=tuple(each.file for each in listings.values()),
        read=read,
        findings=findings,
        names=FileNames(root, listed["train"], listed["test"], listed.get("holdout", ())),
        stored=False,
        opened=opened,
    )


def find_list(asked: ListFile, root: Path) -> Path:
    """Where a list lies: at its own path, in the folder of images, beside it, or made known before.

    Raises :class:`DataError` where it is at none of these.
    """
    given = Path(asked.file).expanduser()
    places = [given] if given.is_absolute() else [root / given, root.parent / given]
    for place in places:
        if place.is_file():
            return place
    kept = kept_list(asked)
    if (asked.sha256 or asked.blob) and kept.is_file():  # only then is it known to be the right one
        return kept
    raise DataError(
        f"list {shown(asked.file)} is not here; put it into {shown(root)} or give its folder: "
        "`ltbench data prepare PROTOCOL --data-dir ROOT --lists FOLDER`"
    )


def kept_list(asked: ListFile) -> Path:
    """Where `ltbench data prepare --lists` keeps a list whose checksum a protocol states."""
    return cache_root() / "lists" / Path(asked.file).name


def _check_config(config: DataConfig) -> None:
    for split in ("train", "test"):
        if split not in config.lists:
            raise DataError(
                f"source 'lists' needs its {split} list: "
                f'[data.lists] {split} = {{ file = "{split}.txt" }}'
            )
    if config.mean is None:
        raise DataError(
            "source 'lists' needs mean and std in [data], for example mean = [0.485, 0.456, 0.406] and "
            "std = [0.229, 0.224, 0.225]: they are not taken from so many images"
        )


def _read(asked: ListFile, root: Path, config: DataConfig, findings: Findings) -> Listing:
    path = find_list(asked, root)
    listing = read_list(path, config.classes, findings)
    for what, wanted, got in (
        ("SHA-256", asked.sha256, listing.sha256),
        ("git blob id", asked.blob, listing.blob),
    ):
        if wanted and wanted != got:
            raise DataError(
                f"{shown(path)} is another list than the protocol's: its {what} is {got}, expected {wanted}"
            )
    if asked.lines is not None and not findings.errors and len(listing.names) != asked.lines:
        raise DataError(
            f"{shown(path)} has {len(listing.names):,} lines, the protocol says {asked.lines:,}"
        )
    return listing


def _images(
    listing: Listing,
    root: Path,
    config: DataConfig,
    names: tuple[str, ...],
    findings: Findings,
    anew: bool,
) -> ListDataset:
    files = listing.names.mapped(config.paths)
    sizes = file_sizes(listing, root, files, findings, anew=anew)
    return ListDataset(listing, root, files, sizes, names, config.image_size, config.resize)


def _warn_of_shared(listings: dict[str, Listing], findings: Findings) -> None:
    seen: dict[str, str] = {}
    for split, listing in listings.items():
        for name in listing.names:
            if name in seen:
                findings.warn(TWICE, f"{shown(name)}: in the lists {seen[name]} and {split}")
            seen[name] = split


class _Pairs(Sequence[tuple[str, int]]):
    """Name and label of every line, made when asked for: one line needs no others."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def __len__(self) -> int:
        return len(self._listing.names)

    @overload
    def __getitem__(self, index: int) -> tuple[str, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, int] | list[tuple[str, int]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._listing.names[index], int(self._listing.labels[index])
