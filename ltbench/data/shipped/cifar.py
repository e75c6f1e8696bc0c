"""CIFAR-10 and CIFAR-100: the official archives, what they unpack to, or the hub's Parquet files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from ltbench.data.raw import Found, Report
from ltbench.errors import DataError
from ltbench.method import NoHyper
from ltbench.source import DataSource, ImageRequest

_HOLDS = "cifar-{0}-python.tar.gz, the folder {1}, or train-*.parquet and test-*.parquet"


class Cifar10(DataSource[NoHyper]):
    """60,000 images of 32 x 32 pixels, ten classes (Krizhevsky 2009)."""

    name, title = "cifar10", "CIFAR-10"
    licence = "none stated; published for research"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    expects = _HOLDS.format(10, "cifar-10-batches-py")
    subfolders: ClassVar[tuple[str, ...]] = ("cifar10", "plain_text", "data")
    """Folders of one level that hold the set under its usual name: our own, and the hub's."""

    def find(self, folder: Path | None, config: ImageRequest, options: NoHyper) -> Found | None:
        from ltbench.data.cifar import ARCHIVES, find_archive

        if folder is not None:
            found = self._in_folder(folder, config)
        elif not (downloaded := self._downloaded()).is_file():
            return None
        else:
            found = find_archive(ARCHIVES[self.name], downloaded)
        return replace(found, counts=ARCHIVES[self.name].counts)

    def download(self, folder: Path, report: Report | None) -> None:
        """One archive, beside ``folder``: it is read as it is and shared with older downloads."""
        from ltbench.data.cifar import ARCHIVES
        from ltbench.data.download import download

        archive = ARCHIVES[self.name]
        download(archive.url, self._downloaded(), archive.md5, report)

    def _downloaded(self) -> Path:
        from ltbench.data.cache import cache_root
        from ltbench.data.cifar import ARCHIVES

        return cache_root() / "downloads" / ARCHIVES[self.name].filename

    def _in_folder(self, folder: Path, config: ImageRequest) -> Found:
        from ltbench.data.cifar import ARCHIVES, find_archive, find_extracted
        from ltbench.data.parquet import Layout, find_parquet, has_shards

        archive = ARCHIVES[self.name]
        places = [folder, *(folder / name for name in self.subfolders)]
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
                return find_parquet(place, config.classes, config.image_size, Layout(exact=True))
        raise DataError(f"data folder {folder} holds no {self.title}{self.expected()}")


class Cifar100(Cifar10):
    """60,000 images of 32 x 32 pixels, 100 classes (Krizhevsky 2009)."""

    name, title = "cifar100", "CIFAR-100"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    expects = _HOLDS.format(100, "cifar-100-python")
    subfolders = ("cifar100", "data")
