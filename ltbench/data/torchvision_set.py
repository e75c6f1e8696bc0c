"""What the sets that torchvision knows by name have in common as sources of images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

from ltbench.data.class_names import names_in
from ltbench.data.dataset import Images, Labels
from ltbench.data.findings import shown
from ltbench.data.found import from_arrays, from_files
from ltbench.data.raw import Found, Report
from ltbench.data.split import CannotSplit, draw_per_class
from ltbench.data.torchvision_files import Listed, list_class_folders
from ltbench.errors import DataError, describe
from ltbench.hyper import Hyper
from ltbench.method import NoHyper
from ltbench.settings import setting
from ltbench.source import DataSource, ImageRequest

H = TypeVar("H", bound=Hyper)
Arrays: TypeAlias = tuple[Images, Labels]
OWN_ORDER = "classes in the set's own order, as torchvision has it"
MISSING = "files that are missing"


@dataclass(frozen=True)
class TrainSplit(Hyper):
    train_split: str = setting(
        "train",
        choices=("train", "trainval"),
        help="`trainval`: validation images are training images; otherwise they are validation images",
    )


@dataclass(frozen=True)
class DrawnTest(Hyper):
    test_per_class: int = setting(
        100, low=1, help="test images of each class; the set has no split"
    )
    seed: int = setting(0, low=0, high=2**32 - 1, help="of the draw")


class TorchvisionSet(DataSource[H], Generic[H]):
    """Where torchvision puts a set below its ``root`` and what lies there.

    The folder may be that ``root`` or the set's own folder. ``classes.json`` in either names classes.
    """

    fetch_when_asked = True
    below: ClassVar[str]
    """The set's folder below torchvision's ``root``."""
    needed: ClassVar[tuple[str, ...]]
    """What must lie in it."""
    splits: ClassVar[tuple[dict[str, Any], ...]] = ({"split": "train"}, {"split": "test"})
    """How torchvision's class is asked for each split, for the download."""

    def find(self, folder: Path | None, config: ImageRequest, options: H) -> Found | None:
        if folder is None:
            return None
        base = self._base(folder)
        for name in self.needed:
            if not any((base / each).exists() for each in _either(name)):
                raise DataError(f"{shown(base / name)} is missing{self.expected()}")
        found = self.found(base, names_in((base, folder)), config, options)
        return found

    @abstractmethod
    def found(
        self, base: Path, names: tuple[str, ...] | None, config: ImageRequest, options: H
    ) -> Found:
        """The set in its folder; names: what ``classes.json`` says, None where there is none."""

    def download(self, folder: Path, report: Report | None) -> None:
        """By torchvision's own class, which knows addresses and checksums."""
        from torchvision import datasets

        kind = getattr(datasets, self.name.partition(":")[2])
        if report is not None:
            report(f"downloading {self.title}", 0, 0)
        try:
            for split in self.splits:
                kind(str(folder), download=True, **split)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.title} could not be downloaded by torchvision: {_reason(error)}; get it from "
                f"{self.url} and name its folder with --data-dir{self.expected()}"
            ) from error

    def _base(self, folder: Path) -> Path:
        places = (folder / self.below, folder)
        for place in places:
            if any((place / each).exists() for name in self.needed for each in _either(name)):
                return place
        raise DataError(f"data folder {shown(folder)} holds no {self.title}{self.expected()}")


class ArraySet(TorchvisionSet[NoHyper]):
    """Images in a few files that are read whole; ``read_split`` reads the files of one split."""

    names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    files: ClassVar[tuple[tuple[str, ...], tuple[str, ...]]]
    """Of the training and of the test images."""
    read_split: ClassVar[Callable[..., Arrays]]

    def found(
        self, base: Path, names: tuple[str, ...] | None, config: ImageRequest, options: NoHyper
    ) -> Found:
        parts = [[_there(base, name) for name in part] for part in self.files]
        reader = type(self).read_split

        def read() -> tuple[Arrays, Arrays]:
            train, test = (reader(*paths) for paths in parts)
            return train, test

        classes = names or self.names
        found = from_arrays(
            read,
            _matching(classes, len(self.names), base),
            origin=f"{shown(base)} ({self.title})",
            files=[path for part in parts for path in part],
            image_size=config.image_size,
            fit=config.fit,
        )
        found.findings.note(OWN_ORDER, _ends(classes))
        return found


class ListedSet(TorchvisionSet[H], Generic[H]):
    """Image files that lists, or folders, give a class and a split."""

    @abstractmethod
    def listed(self, base: Path, options: H) -> Listed: ...

    def found(
        self, base: Path, names: tuple[str, ...] | None, config: ImageRequest, options: H
    ) -> Found:
        listed = self.listed(base, options)
        classes = _matching(names or listed.names, len(listed.names), base)
        train, holdout = listed.train, listed.holdout
        if isinstance(options, TrainSplit) and options.train_split == "trainval":
            train, holdout = [*train, *holdout], []
        parts = (train, listed.test, holdout)
        missing = [path for part in parts for path, _ in part if not path.is_file()]
        gone = set(missing)
        train, test, holdout = ([one for one in part if one[0] not in gone] for part in parts)
        found = from_files(
            train,
            test,
            classes,
            config.image_size,
            origin=f"{shown(base)} ({self.title})",
            fit=config.fit,
            holdout=holdout,
        )
        found.findings.note(OWN_ORDER, _ends(classes))
        for path in missing:
            found.findings.error(MISSING, f"no file {shown(path)}, which {self.title} lists")
        return found


class FolderSet(ListedSet[DrawnTest]):
    """Class folders without a split: of each class some are drawn as test images, by a seed."""

    hyper_type = DrawnTest
    splits = ({},)

    def listed(self, base: Path, options: DrawnTest) -> Listed:
        names, files = list_class_folders(base / self.needed[0])
        labels = np.array([label for _, label in files], dtype=np.int64)
        try:
            drawn = draw_per_class(labels, len(names), options.test_per_class, seed=options.seed)
        except CannotSplit as error:
            raise CannotSplit(
                f"{shown(base)}: {error}; lower data.options.test_per_class"
            ) from None
        train, test = ([files[place] for place in places] for places in drawn)
        return Listed(names, train, test, [])


def _either(name: str) -> Sequence[str]:
    """Of an IDX file also the packed one, as it is downloaded."""
    return (name, f"{name}.gz") if name.endswith("-ubyte") else (name,)


def _there(base: Path, name: str) -> Path:
    return next((base / each for each in _either(name) if (base / each).is_file()), base / name)


def _matching(names: tuple[str, ...], classes: int, base: Path) -> tuple[str, ...]:
    if len(names) != classes:
        raise DataError(
            f"classes.json of {shown(base)} names {len(names)} classes, the set has {classes}"
        )
    return names


def _ends(names: Sequence[str]) -> str:
    return f"{shown(names[0])} to {shown(names[-1])}"


def _reason(error: Exception) -> str:
    """torchvision puts what went wrong at each mirror on a line of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:200] or describe(error)
