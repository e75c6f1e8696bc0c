"""What every data source must keep."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ltbench.contract.unmet import Property, Unmet, require
from ltbench.data.cache import load
from ltbench.data.dataset import Dataset, Splits
from ltbench.data.guard import asked, guarded
from ltbench.data.raw import Found
from ltbench.errors import InputError, LtbenchError
from ltbench.hyper import Hyper
from ltbench.names import check_source_name
from ltbench.protocol.protocol import FEATURES, DataConfig
from ltbench.registry import Plugin
from ltbench.source import DataSource

CLASSES, IMAGE_SIZE = 10, 32
"""What a source is asked for where no protocol says more."""
_LARGEST = 20_000
"""Images above which a set is not read by the check: `ltbench data check PROTOCOL` reads it."""
_DAMAGED = 3
"""Files that are damaged, one after the other: the first, the last, one between."""
_LOOKED_AT = 16


@dataclass(frozen=True)
class SourceCase:
    """A source with its usual options; folder: of the images, where somebody named one."""

    plugin: Plugin[DataSource[Any]]
    folder: Path | None = None

    @property
    def config(self) -> DataConfig:
        path = str(self.folder) if self.folder else ""
        if self.plugin.name == FEATURES:
            return DataConfig(self.plugin.name, CLASSES, path=path)
        return DataConfig(self.plugin.name, CLASSES, IMAGE_SIZE, path=path)

    def source(self) -> DataSource[Any]:
        return self.plugin.cls()

    def find(self, folder: Path | None = None) -> Found | None:
        """None where the images are not here, or what finds them needs options that are not given."""
        source = self.source()
        try:
            options = self.plugin.cls.hyper_type.from_mapping({}, "data.options")
        except InputError:
            return None  # an option without a default; a protocol gives it
        place = folder or self.folder
        if place is None and source.needs_folder:
            return None
        found = asked(
            source, "to find its images", lambda: source.find(place, self.config, options)
        )
        return None if found is None else guarded(source, found)

    def read(self, folder: Path | None = None) -> Splits | None:
        found = self.find(folder)
        return None if found is None or is_large(found) else load(found)

    def __str__(self) -> str:
        return self.plugin.name


def is_large(found: Found) -> bool:
    return len(found.files) > _LARGEST


def name_and_title(case: SourceCase) -> None:
    """It has a usable name, and a title for lists."""
    cls = case.plugin.cls
    try:
        check_source_name(cls.name, "name")
    except InputError as error:
        raise Unmet(str(error)) from None
    require(cls.title.strip(), "title is empty")


def docstring(case: SourceCase) -> None:
    """Its docstring says which images they are; `ltbench show` prints it."""
    require(case.plugin.cls.__dict__.get("__doc__"), "the class has no docstring")


def licence(case: SourceCase) -> None:
    """It states the licence of the images, or that none is stated."""
    require(case.plugin.cls.licence.strip(), 'licence is empty; for example "CC BY 4.0"')


def options_are_typed(case: SourceCase) -> None:
    """`hyper_type` is a frozen dataclass of settings, so that [data.options] is checked."""
    kind = case.plugin.cls.hyper_type
    require(
        isinstance(kind, type) and issubclass(kind, Hyper) and dataclasses.is_dataclass(kind),
        f"hyper_type = {kind!r} must be a dataclass made from ltbench.Hyper",
    )


def finds_its_images_as_a_found(case: SourceCase) -> None:
    """`find` returns what `ltbench.data.found` makes, or None where the images are not here."""
    with _told():
        case.find()


def finding_asks_no_network(case: SourceCase) -> None:
    """`find` opens no connection: `ltbench data where` and a worker call it without asking."""
    tried: list[str] = []
    with _no_network(tried), suppress(Exception):  # told by another property
        case.find()
    require(not tried, "find() opens a network connection; what fetches belongs into download()")


def images_are_here(case: SourceCase) -> None:
    """The images are here, so that what follows could be tried."""
    found = case.find()
    folder = "" if case.folder else "; name their folder with --data-dir"
    require(found is not None, f"{case.plugin.name} finds none{folder}")
    assert found is not None
    require(
        not is_large(found),
        f"{len(found.files):,} files are too many for this check; `ltbench data check` reads them",
    )


def images_and_labels_are_arrays_of_the_right_kind(case: SourceCase) -> None:
    """Images are uint8 (N, 3, H, W), labels whole numbers 0 to C-1, as many as announced."""
    with _told():
        case.read()


def every_class_has_a_name_of_its_own_and_images(case: SourceCase) -> None:
    """Class names are texts that differ, and each class has a training image."""
    with _told():
        splits = case.read()
    if splits is None:
        return
    names = splits.train.class_names
    require(len(set(names)) == len(names), f"two classes have one name: {', '.join(names)}")
    require(names == splits.test.class_names, "training and test images have other class names")
    counts = np.bincount(splits.train.labels, minlength=len(names))
    empty = [name for name, count in zip(names, counts, strict=True) if count == 0]
    require(not empty, f"classes without a training image: {', '.join(empty[:5])}")
    require(len(splits.test) > 0, "there are no test images")


def two_reads_are_equal(case: SourceCase) -> None:
    """Reading twice gives the same bytes: the fingerprint of the images is what identifies results."""
    with _told():
        one, two = case.read(), case.read()
    if one is None or two is None:
        return
    for split in ("train", "test"):
        first, second = getattr(one, split), getattr(two, split)
        require(
            first.fingerprint == second.fingerprint,
            f"a second read gives other {split} images, labels or class names; seed what is drawn",
        )


def any_one_image_is_that_of_the_whole(case: SourceCase) -> None:
    """An image asked for alone, in any order, is the one that reading all gives there."""
    found, splits = case.find(), case.read()
    if found is None or splits is None or found.open is None:
        return
    for split in ("train", "test"):
        dataset: Dataset = getattr(splits, split)
        places = np.linspace(0, len(dataset) - 1, min(len(dataset), _LOOKED_AT)).astype(int)
        for i in reversed(places.tolist()):
            with _told():
                alone = found.open(split, i)
            require(
                np.array_equal(alone, dataset.read([i])[0]),
                f"{split} image {i} asked for alone is not the one that reading all gives there",
            )


def it_can_be_pickled(case: SourceCase) -> None:
    """The source goes to another process: it holds no open file and no function of its own."""
    source = case.source()
    try:
        again = pickle.loads(pickle.dumps(source))
    except Exception as error:
        raise Unmet(f"it cannot be pickled: {type(error).__name__}: {error}") from None
    require(type(again) is type(source), "pickled and read back it is another class")


def a_damaged_file_is_told(case: SourceCase) -> None:
    """A file that is damaged gives a DataError, never other images in silence."""
    found, folder = case.find(), case.folder
    if found is None or folder is None:
        return
    inside = _inside(found, folder)
    chosen = dict.fromkeys([*inside[:1], *inside[-1:], *inside[len(inside) // 2 :][:1]])
    for path in list(chosen)[:_DAMAGED]:
        with tempfile.TemporaryDirectory() as name:
            mirror = Path(name) / folder.name
            _mirror(folder, mirror, path)
            try:
                case.read(mirror)
            except InputError:
                continue
            except LtbenchError as error:
                raise Unmet(f"{path.name} damaged: {error}; raise DataError") from None
            raise Unmet(
                f"with {path.name} damaged it reads on as if nothing were wrong; raise DataError, or "
                "let the error of what reads it through"
            )


def _mirror(folder: Path, mirror: Path, damaged: Path) -> None:
    """``folder`` as links, with ``damaged`` as a file of its own that is none of its kind."""
    for path in sorted(folder.rglob("*")):
        target = mirror / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path == damaged:
            target.write_bytes(b"\0damaged\0" * 8)
        else:
            target.symlink_to(path.resolve())


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except LtbenchError as error:
        raise Unmet(str(error)) from None


@contextmanager
def _no_network(tried: list[str]) -> Iterator[None]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        tried.append("connection")
        raise OSError("no network while images are looked for")

    names = ("connect", "connect_ex")
    before = {name: getattr(socket.socket, name) for name in names}
    looked_up = socket.getaddrinfo
    try:
        for name in names:
            setattr(socket.socket, name, refuse)
        socket.getaddrinfo = refuse
        yield
    finally:
        for name, method in before.items():
            setattr(socket.socket, name, method)
        socket.getaddrinfo = looked_up


def properties_of(case: SourceCase) -> Iterator[Property[SourceCase]]:
    """Those that can be tried: without images, or without a file to damage, nothing is called fine."""
    yield from SOURCE_CARD
    try:
        found = case.find()
    except Exception:  # whatever a plugin raises; told by the card
        return
    if found is None or is_large(found):
        return
    yield from IMAGE_PROPERTIES
    if found.open is not None:
        yield ONE_IMAGE
    if _inside(found, case.folder):
        yield DAMAGE


def _inside(found: Found, folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    return [path for path in found.files if path.is_relative_to(folder)]


SOURCE_CARD: tuple[Property[SourceCase], ...] = (
    Property(name_and_title),
    Property(docstring, advice=True),
    Property(licence, advice=True),
    Property(options_are_typed),
    Property(it_can_be_pickled),
    Property(finding_asks_no_network),
    Property(finds_its_images_as_a_found),
    Property(images_are_here, advice=True),
)
IMAGE_PROPERTIES: tuple[Property[SourceCase], ...] = (
    Property(images_and_labels_are_arrays_of_the_right_kind),
    Property(every_class_has_a_name_of_its_own_and_images),
    Property(two_reads_are_equal),
)
ONE_IMAGE: Property[SourceCase] = Property(any_one_image_is_that_of_the_whole)
DAMAGE: Property[SourceCase] = Property(a_damaged_file_is_told)
