"""The one door to images: :func:`open_data` for a protocol's ``[data]``, wherever they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ltbench.data.cache import cache_root, entry_path, load, load_or_build
from ltbench.data.dataset import Dataset, Splits
from ltbench.data.duplicates import find_duplicates
from ltbench.data.locate import locate, named_folder, resolve
from ltbench.data.raw import Found, Report
from ltbench.data.subset import take_classes
from ltbench.errors import DataError
from ltbench.protocol.protocol import DataConfig


@dataclass(frozen=True)
class DataStatus:
    """What is there: ``found`` (where) or ``missing`` (what) with ``remedy`` (how to get it).

    ``ready``: the images can be opened without a download. ``decoded`` is the cache entry where one
    exists, ``cache`` the cache folder. ``notes`` as in :class:`Splits`: what lies there unused.
    ``stored``: whether decoded images are kept in the cache.
    """

    source: str
    ready: bool
    found: str
    missing: str
    remedy: str
    decoded: Path | None
    cache: Path
    notes: Mapping[str, list[object]] = field(default_factory=dict)
    stored: bool = True


def open_data(
    config: DataConfig,
    data_dir: Path | None = None,
    *,
    download: bool = True,
    report: Report | None = None,
    thorough: bool = False,
    plugins: Sequence[str] = (),
    asked: bool = False,
) -> Splits:
    """Training and test images of ``config``, decoded and checked against it.

    Images are looked for in ``data_dir`` (only read, never downloaded into), else in
    ``config.path``, else among what ltbench downloaded into its cache; ``download`` allows fetching
    them where the source can. ``report`` is told about progress. ``thorough`` reads
    every image even where the folders are wrong already, so that all is told at once, and looks for
    files with the same content. ``plugins``: files that the source may be in. ``asked``: somebody
    asked for the images themselves, which some sources want before they download. Raises
    :class:`DataError` where images are missing, damaged or not what ``config`` says,
    :class:`InputError` for an unknown source or option, and where ``config.subset`` names a class
    that there is not.
    """
    place = locate(config, data_dir, plugins)
    found = place.find()
    if found is None:
        may = place.source.can_download() and (asked or not place.source.fetch_when_asked)
        if not download or not may:
            raise DataError(f"{place.source.title} is not here; {place.source.remedy()}")
        found = place.fetch(report)
    splits = _opened(config, found, report, thorough)
    notes = {**found.findings.tallies(), **splits.notes}
    splits = replace(
        splits,
        notes=notes,
        files=found.names,
        warnings=found.findings.warnings,
        code=place.code,
    )
    _check(config, splits, found, place.source.title)
    return take_classes(splits, config.subset)


def _opened(config: DataConfig, found: Found, report: Report | None, thorough: bool) -> Splits:
    if found.opened is not None:
        return found.opened(thorough)
    if thorough and found.names is not None:
        find_duplicates(found.names, found.findings)
    if thorough and found.findings.errors:
        _read_all(config, found, report)
    found.findings.refuse()
    return load_or_build(found, report) if found.stored else load(found)


def _read_all(config: DataConfig, found: Found, report: Report | None) -> None:
    """Reads every image for what is wrong with it; it goes into ``found.findings``."""
    raw = found.read()
    total, done = raw.count, 0
    for stream in raw.splits.values():
        for images, _ in stream.batches():
            done += len(images)
            if report is not None:
                report("decoding images", done, total)
    classes = len(raw.class_names)
    if classes != config.classes and "class folders whose name is not UTF-8" not in (
        found.findings.errors
    ):
        found.findings.error("numbers of classes", _wrong_number(found.origin, classes, config))


def _wrong_number(where: str, classes: int, config: DataConfig) -> str:
    return f"{where} has {classes} classes, the protocol says {config.classes}"


def describe(
    config: DataConfig, data_dir: Path | None = None, plugins: Sequence[str] = ()
) -> DataStatus:
    """What is there and what is missing, without reading an image.

    Raises :class:`InputError` for an unknown source or option only.
    """
    source, _, _ = resolve(config, plugins)
    cache = cache_root()
    notes: Mapping[str, list[object]] = {}
    try:
        place = locate(config, data_dir, plugins)
        found = place.find()
        if found is not None:
            notes = found.findings.tallies()
            found.findings.refuse()
        entry = entry_path(found) if found is not None and found.stored else None
    except DataError as error:
        how = source.folder_remedy(named_folder(config, data_dir))
        return DataStatus(config.source, False, "", str(error), how, None, cache, notes)
    if found is None:
        missing = f"{source.title} is not here"
        return DataStatus(config.source, False, "", missing, source.remedy(), None, cache)
    decoded = entry if entry is not None and (entry / "meta.json").is_file() else None
    return DataStatus(
        *(config.source, True, found.origin, "", "", decoded, cache, notes), stored=found.stored
    )


def is_ready(config: DataConfig, data_dir: Path | None = None, plugins: Sequence[str] = ()) -> bool:
    """True where :func:`open_data` needs no download."""
    return describe(config, data_dir, plugins).ready


def _check(config: DataConfig, splits: Splits, found: Found, title: str) -> None:
    """Raises :class:`DataError` where the images are not what the protocol says."""
    where = splits.origin
    classes = len(splits.train.class_names)
    if classes < 2:
        raise DataError(f"{where}: there must be at least 2 classes, not {classes}")
    if classes != config.classes:
        raise DataError(_wrong_number(where, classes, config))
    if splits.train.image_size != config.image_size:
        size = splits.train.image_size
        raise DataError(
            f"{where} has images of {size} pixels, the protocol says {config.image_size}"
        )
    got = (len(splits.train), len(splits.test))
    if found.counts is not None and got != found.counts:
        raise DataError(
            f"{where} has {got[0]} training and {got[1]} test images, "
            f"{title} has {found.counts[0]} and {found.counts[1]}"
        )
    _check_every_class(splits.train, where)
    if len(splits.test) == 0:
        raise DataError(f"{where} has no test images")


def _check_every_class(train: Dataset, where: str) -> None:
    counts = np.bincount(train.labels, minlength=len(train.class_names))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        names = ", ".join(train.class_names[label] for label in empty[:5])
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise DataError(
            f"{where}: each class needs a training image, these have none: {names}{more}"
        )
