"""Where the images of a protocol lie: which file or folder, and what to say where there is none."""

from __future__ import annotations

from pathlib import Path

from ltbench.data.cache import cache_root
from ltbench.data.cifar import ARCHIVES, Archive, find_archive, find_extracted
from ltbench.data.findings import shown
from ltbench.data.folder_scan import split_remedy
from ltbench.data.raw import Found
from ltbench.errors import DataError, InputError, nearest
from ltbench.protocol.protocol import DataConfig

SOURCES = ("digits", *ARCHIVES, "parquet", "image-folder", "table")

# Folders of one level that hold a set under its usual name: our own, and the hub's.
_SUBFOLDERS = {"cifar10": ("cifar10", "plain_text", "data"), "cifar100": ("cifar100", "data")}


def check_source(config: DataConfig) -> None:
    if config.source not in SOURCES:
        hint = nearest(config.source, SOURCES)
        raise InputError(
            f"unknown data source {config.source!r} (known: {', '.join(SOURCES)}){hint}"
        )


def user_folder(config: DataConfig, data_dir: Path | None) -> Path | None:
    """The user's folder, which must exist and hold something, or table; None where none was named."""
    check_source(config)
    if config.source == "digits":
        if data_dir is not None:
            raise DataError("the digits are embedded and read no folder; leave --data-dir out")
        return None
    if config.source == "table":
        return _user_table(config, data_dir)
    folder = data_dir if data_dir is not None else Path(config.path) if config.path else None
    if folder is None:
        if config.source not in ARCHIVES:
            raise DataError(
                f"source {config.source!r} needs its folder: give --data-dir or data.path"
            )
        return None
    folder = folder.expanduser()
    try:
        if not folder.is_dir():
            raise DataError(
                f"data folder {shown(folder)} does not exist; {_expected(config.source)}"
            )
        if not any(folder.iterdir()):
            raise DataError(f"data folder {shown(folder)} is empty; {_expected(config.source)}")
    except OSError as error:
        raise DataError(f"data folder {folder} cannot be read: {error.strerror}") from error
    return folder


def _user_table(config: DataConfig, data_dir: Path | None) -> Path:
    """``data_dir`` may be another table, or the folder that the file names are below."""
    given = data_dir is not None and not data_dir.expanduser().is_dir()
    if not given and not config.path:
        raise DataError(f"source 'table' needs its table: give data.path; {_expected('table')}")
    table = (data_dir if given and data_dir else Path(config.path)).expanduser()
    if not table.is_file():
        what = "is a folder, no table" if table.is_dir() else "does not exist"
        raise DataError(f"table {shown(table)} {what}; {_expected('table')}")
    return table


def find(config: DataConfig, folder: Path | None, data_dir: Path | None) -> Found | None:
    """``folder`` as :func:`user_folder` says. None only where a CIFAR set must be downloaded first."""
    from ltbench.data.folder import find_folder
    from ltbench.data.parquet import find_parquet
    from ltbench.data.table import find_table

    try:
        if config.source in ARCHIVES:
            return _find_cifar(config, folder)
        assert folder is not None  # user_folder refused these sources without one
        if config.source == "parquet":
            return find_parquet(folder, config.classes, config.image_size)
        if config.source == "table":
            below = data_dir.expanduser() if data_dir is not None else folder
            base = below if below.is_dir() else folder.parent
            return find_table(folder, base, config.image_size, config.fit)
        return find_folder(folder, config.image_size, config.fit)
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror}") from error


def _find_cifar(config: DataConfig, folder: Path | None) -> Found | None:
    from ltbench.data.parquet import find_parquet, has_shards

    archive = ARCHIVES[config.source]
    if folder is None:
        downloaded = download_path(archive)
        return find_archive(archive, downloaded) if downloaded.is_file() else None
    places = [folder, *(folder / name for name in _SUBFOLDERS[config.source])]
    # Official files first: only they keep the order of images that the published selection is of.
    for place in places:
        if (place / archive.filename).is_file():
            return find_archive(archive, place / archive.filename)
        if (place / archive.folder).is_dir():
            return find_extracted(archive, place / archive.folder)
        if (place / archive.meta[0]).is_file():
            return find_extracted(archive, place)
    for place in places:
        if has_shards(place):
            return find_parquet(place, config.classes, config.image_size)
    raise DataError(f"data folder {folder} holds no {archive.title}; {_expected(config.source)}")


def download_path(archive: Archive) -> Path:
    return cache_root() / "downloads" / archive.filename


def _expected(source: str) -> str:
    if source in ARCHIVES:
        archive = ARCHIVES[source]
        return (
            f"expected {archive.filename}, the folder {archive.folder}, "
            "or train-*.parquet and test-*.parquet"
        )
    if source == "parquet":
        return "expected train-*.parquet and test-*.parquet"
    if source == "table":
        return "expected CSV with the columns file, label, split"
    return "expected train/<class>/* and test/<class>/*"


def remedy(archive: Archive) -> str:
    return (
        f"`ltbench data prepare` downloads it from {archive.url}, "
        f"or name a folder that holds it with --data-dir"
    )


def general_remedy(config: DataConfig, data_dir: Path | None) -> str:
    if config.source == "digits":
        return "leave --data-dir out"
    if config.source == "table":
        return (
            f"name a table with data.path; {_expected('table')}; `ltbench data split FOLDER -o FILE.csv` "
            "writes one"
        )
    if config.source == "image-folder":
        folder = data_dir or (Path(config.path) if config.path else None)
        if folder is not None and (how := split_remedy(folder.expanduser())):
            return how
    return f"name a folder with --data-dir; {_expected(config.source)}"
