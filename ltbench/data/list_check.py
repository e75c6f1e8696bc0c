"""What `ltbench data check` says of lists: which they are, what they need, how fast images can be had."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ltbench.data.dataset import Dataset, Splits
from ltbench.data.decode import UnreadableImage
from ltbench.data.findings import Findings, shown
from ltbench.data.list_file import read_list
from ltbench.data.list_source import find_list, kept_list
from ltbench.data.locate import named_folder
from ltbench.data.official_lists import named, official
from ltbench.data.published_draws import kept_path, list_path, read, shifted_names
from ltbench.errors import InputError
from ltbench.files import write_bytes
from ltbench.protocol.protocol import LISTS, DataConfig, Protocol, TestConfig

SAMPLE = 100
"""Images of each list that a check opens: a damaged archive shows, and nobody waits for an hour."""


def lists_in(config: DataConfig, folder: Path | None) -> DataConfig:
    """``config`` with the lists that lie in ``folder``; raises :class:`InputError` where none does."""
    if folder is None:
        return config
    if config.source != LISTS:
        raise InputError(f'--lists is for source "lists"; the source is "{config.source}"')
    found = {
        split: replace(asked, file=str((folder / Path(asked.file).name).absolute()))
        for split, asked in config.lists.items()
        if (folder / Path(asked.file).name).is_file()
    }
    if not found:
        wanted = ", ".join(Path(asked.file).name for asked in config.lists.values())
        raise InputError(f"--lists {shown(folder)} has none of the protocol's lists: {wanted}")
    return replace(config, lists={**config.lists, **found})


def keep_lists(config: DataConfig, data_dir: Path | None) -> list[Path]:
    """Copies the lists whose checksum the protocol states into the cache, where every run finds them."""
    kept = []
    for asked in config.lists.values():
        if asked.sha256 or asked.blob:
            source = find_list(asked, named_folder(config, data_dir) or Path())
            target = kept_list(asked)
            if source != target:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(target, source.read_bytes())
            kept.append(target)
    return kept


def published_in(test: TestConfig, folder: Path | None) -> TestConfig:
    """``test`` with the published lists of shifted sets taken from ``folder``."""
    if folder is None or not test.published:
        return test
    return replace(test, published=str((folder / Path(test.published).name).absolute()))


def keep_published(protocol: Protocol, folder: Path | None) -> list[Path]:
    """Copies the published lists of shifted sets from ``folder`` into the cache, those that ltbench knows."""
    kept = []
    for name in shifted_names(protocol.test.ratios) if folder and protocol.test.published else ():
        source = Path(str(folder), Path(protocol.test.published.replace("{name}", name)).name)
        if source.is_file() and official(read(source, protocol.data.classes)) is not None:
            target = kept_path(source.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, source.read_bytes())
            kept.append(target)
    return kept


def published_lines(protocol: Protocol, root: Path) -> Iterator[str]:
    """Which published lists of shifted sets are here, and which they are; nothing where none is named."""
    template, classes = protocol.test.published, protocol.data.classes
    absent = []
    for name in shifted_names(protocol.test.ratios) if template else ():
        file = template.replace("{name}", name)
        path = list_path(file, root, classes)
        if path is None:
            absent.append(Path(file).name)
            continue
        listing = read(path, classes)
        known = official(listing)
        told = f"the published {known}" if known else "no published list that ltbench knows"
        yield f"  {name}: {shown(path.name)}, {len(listing.names):,} lines, {told}"
    if absent:
        yield f"  not here, so drawn by ltbench: {', '.join(absent)}"


def needs(config: DataConfig) -> Iterator[str]:
    """How the images of published lists are got, a line for each set."""
    known = [named(Path(asked.file).name) for asked in config.lists.values()]
    for images in dict.fromkeys(each.images for each in known if each is not None):
        yield f"{images.title} needs: {images.remedy}"


def which(config: DataConfig, data_dir: Path | None) -> Iterator[str]:
    """Which list each is: a published one, another one of its name, or one of the user's."""
    for split, asked in config.lists.items():
        path = find_list(asked, named_folder(config, data_dir) or Path())
        listing = read_list(path, config.classes, Findings())
        known = official(listing)
        name = (
            f"  {split:7} {shown(path.name)}: {len(listing.names):,} lines, sha256 {listing.sha256}"
        )
        if known is not None:
            yield f"{name}, the published {known}"
        elif named(path.name) is not None:
            yield f"{name}, NOT the published list of that name (git blob {listing.blob})"
        else:
            yield f"{name}, no published list that ltbench knows"


def group_lines(counts: np.ndarray, groups: dict[str, list[int]]) -> Iterator[str]:
    """Classes and training images of each group. counts: (C,)."""
    for group, members in groups.items():
        yield f"  {group}: {len(members):,} classes, {int(counts[members].sum()):,} training images"


def sample(splits: Splits, findings: Findings) -> Iterator[str]:
    """Opens some images of each list, evenly spread; those that fail go into ``findings``."""
    for name, images in (
        ("train", splits.train),
        ("test", splits.test),
        ("holdout", splits.holdout),
    ):
        if images is None:
            continue
        places = np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(np.int64))
        began = time.perf_counter()
        failed = _open(images, places, findings)
        rate = len(places) / (time.perf_counter() - began)
        yield (
            f"  {name}: {len(places) - failed} of {len(places)} sampled images open, "
            f"{rate:,.0f} images a second in one process"
        )


def _open(images: Dataset, places: np.ndarray, findings: Findings) -> int:
    failed = 0
    for place in places.tolist():
        try:
            images.read([place])
        except UnreadableImage as error:
            findings.error(error.kind, str(error))
            failed += 1
    return failed
