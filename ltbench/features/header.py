"""``features.json``: what a folder of features says about itself, strictly read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltbench.errors import DataError, InputError
from ltbench.files import read_json
from ltbench.settings import check_ranges, read, setting

HEADER = "features.json"
FORMAT = 1
TRAIN, TEST, HEADS = "train.safetensors", "test.safetensors", "heads.safetensors"
CLEAN, LABELS, ROW, TEXT = "clean", "labels", "row", "text"
FLOAT, WHOLE = "float16", "int64"


def pair_file(pair: int) -> str:
    return f"pair{pair}.safetensors"


def copy_name(copy: int) -> str:
    """The tensor of a stored augmented copy of the training features."""
    return f"aug{copy}"


class _Checked:
    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Encoder(_Checked):
    """What made the features. weights: ``sha256:...`` of the file, or a hub's revision; output: the point
    of the network that they were taken at."""

    name: str
    library: str = setting("", help="its name and version")
    version: str = ""
    weights: str = ""
    output: str = ""


@dataclass(frozen=True)
class Preprocessing(_Checked):
    """From an image to the encoder's input; sizes in pixels, mean and std per channel in [0, 1]."""

    resize: int | None = setting(None, low=1)
    crop: int | None = setting(None, low=1)
    interpolation: str = ""
    antialias: bool | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = setting((), above=0)


@dataclass(frozen=True)
class Origin(_Checked):
    """The images: the name of their source and the fingerprint of its training images."""

    name: str
    fingerprint: str = ""


@dataclass(frozen=True)
class TensorEntry(_Checked):
    """One tensor of a file; sha256 is of its numbers, little-endian, in order."""

    shape: tuple[int, ...] = setting(low=1)
    dtype: str = setting(choices=(FLOAT, WHOLE))
    sha256: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise InputError(f"sha256 = {self.sha256!r} must be 64 digits of 0-9 and a-f")


@dataclass(frozen=True)
class Header(_Checked):
    """D = ``dim`` numbers for each image, of each of E = ``experts`` feature sets.

    E is 1 where all heads share one set: then tensors are (N, D), else (E, N, D). ``views``: what the
    pairs of views were rendered with, None where there are none. ``whole_pool``: whether every training
    image of the source is there, so that any subset can be drawn. ``tensors``: by file, by name;
    ``bytes``: the size of each file.
    """

    encoder: Encoder
    dim: int = setting(low=1)
    source: Origin = field(kw_only=True)
    class_names: tuple[str, ...] = field(kw_only=True)
    whole_pool: bool = field(kw_only=True)
    experts: int = setting(1, low=1)
    preprocessing: Preprocessing | None = None
    views: str | None = None
    pairs: int = setting(0, low=0)
    augmented: int = setting(0, low=0)
    device: str = ""
    tensors: dict[str, dict[str, TensorEntry]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.class_names) < 2 or len(set(self.class_names)) != len(self.class_names):
            raise InputError("class_names must be at least two different names")
        if self.pairs and not self.views:
            raise InputError(f"pairs = {self.pairs} needs views, what they were rendered with")

    @property
    def files(self) -> tuple[str, ...]:
        """The files that there must be; :data:`HEADS` may be there, too."""
        return (TRAIN, TEST, *(pair_file(k) for k in range(self.pairs)))

    def feature_shape(self, images: int) -> tuple[int, ...]:
        own = (images, self.dim)
        return own if self.experts == 1 else (self.experts, *own)

    def check_tensors(self) -> None:
        """Raises :class:`InputError` unless files and tensors are those that the rest says."""
        listed = set(self.tensors)
        lacking = [name for name in self.files if name not in listed]
        unknown = sorted(listed - {*self.files, HEADS})
        if lacking or unknown:
            what = f"lacks {lacking[0]!r}" if lacking else f"has a needless {unknown[0]!r}"
            raise InputError(f"tensors {what} (pairs = {self.pairs})")
        if set(self.bytes) != listed:
            raise InputError("bytes must give the size of each file that tensors lists")
        train, test = (self._images(name) for name in (TRAIN, TEST))
        copies = tuple(copy_name(k) for k in range(self.augmented))
        self._check_file(TRAIN, (CLEAN, *copies), train, labelled=True)
        self._check_file(TEST, (CLEAN,), test, labelled=True)
        for name in self.files[2:]:
            self._check_file(name, ("a", "b"), test, labelled=False)
        if HEADS in listed:
            self._check_one(HEADS, TEXT, (len(self.class_names), self.dim), FLOAT)

    def _images(self, file: str) -> int:
        entry = self.tensors[file].get(LABELS)
        if entry is None:
            raise InputError(f"tensors.{file} lacks {LABELS!r}")
        return entry.shape[0]

    def _check_file(
        self, file: str, features: tuple[str, ...], images: int, *, labelled: bool
    ) -> None:
        for name in features:
            self._check_one(file, name, self.feature_shape(images), FLOAT)
        whole = (LABELS, ROW) if labelled else ()
        for name in whole:
            self._check_one(file, name, (images,), WHOLE)
        needless = sorted(set(self.tensors[file]) - {*features, *whole})
        if needless:
            raise InputError(f"tensors.{file} has a needless {needless[0]!r}")

    def _check_one(self, file: str, name: str, shape: tuple[int, ...], dtype: str) -> None:
        entry = self.tensors[file].get(name)
        if entry is None:
            raise InputError(f"tensors.{file} lacks {name!r}")
        if (entry.shape, entry.dtype) != (shape, dtype):
            raise InputError(
                f"tensors.{file}.{name} is {entry.dtype} {entry.shape}; expected {dtype} {shape}"
            )

    def to_json(self) -> dict[str, Any]:
        return {"format": self.format} | dataclasses.asdict(self)


def parse_header(values: object, where: str) -> Header:
    """Raises :class:`DataError`, one line beginning with ``where``, for what is not as it must be."""
    if not isinstance(values, Mapping):
        raise DataError(f"{where} must be a JSON object")
    number = values.get("format")
    if number != FORMAT:
        raise DataError(f"{where}: format {number!r} is not read here; expected {FORMAT}")
    try:
        header = read(Header, values, where)
    except InputError as error:
        raise DataError(str(error)) from None
    try:
        header.check_tensors()
    except InputError as error:
        raise DataError(f"{where}: {error}") from None
    return header


def read_header(folder: Path) -> Header:
    path = folder / HEADER
    try:
        values = read_json(path)
    except InputError as error:
        raise DataError(str(error)) from None
    return parse_header(values, str(path))
