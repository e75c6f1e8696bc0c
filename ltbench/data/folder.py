"""A user's own images: ``train/<class>/*`` and ``test/<class>/*``, any format that Pillow reads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ltbench.data.dataset import Images, Labels
from ltbench.data.decode import decode_resized, mapper
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import DataError, nearest

_BATCH = 256
_LITTER = frozenset({"thumbs.db", "desktop.ini"})  # what Windows leaves in folders of images


def find_folder(root: Path, image_size: int) -> Found:
    """The images below ``root``. Classes are those of ``train``, sorted by name.

    Hidden files and folders, and files beside the class folders, are ignored; every other file in
    a class folder must be an image. A class without test images is allowed. Raises
    :class:`DataError` for a missing split, a class without training images, a test class unknown in
    training, and a folder inside a class folder.
    """
    train = _split(root, "train")
    test = _split(root, "test")
    names = tuple(sorted(train))
    for name in names:
        if not train[name]:
            raise DataError(
                f"{root / 'train' / name} has no images; each class needs a training image"
            )
    for name in sorted(test):
        if name not in train:
            raise DataError(
                f"{root / 'test' / name} is a class without a folder in {root / 'train'}"
                f"{nearest(name, names)}"
            )
    files = [path for split in (train, test) for paths in split.values() for path in paths]
    return Found(
        kind="folder",
        origin=f"{root} (image folder, {len(names)} classes)",
        files=tuple(files),
        read=lambda: Raw(
            names, image_size, _stream(train, names, image_size), _stream(test, names, image_size)
        ),
        options={"image_size": image_size},
    )


def _split(root: Path, split: str) -> dict[str, list[Path]]:
    folder = root / split
    if not folder.is_dir():
        raise DataError(
            f"{root} has no folder {split!r}; expected train/<class>/* and test/<class>/*"
        )
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path))
        found = {path.name: _images(path) for path in classes}
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    if not any(found.values()):
        raise DataError(f"{folder} has no images; expected {split}/<class>/*")
    return found


def _images(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if not _hidden(path))
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path} is a folder inside a class folder; only images belong there")
    return paths


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _LITTER


def _stream(split: dict[str, list[Path]], names: tuple[str, ...], size: int) -> Stream:
    pairs = [(path, label) for label, name in enumerate(names) for path in split.get(name, ())]

    def batches() -> Iterator[tuple[Images, Labels]]:
        with mapper(threaded=True) as over:
            for start in range(0, len(pairs), _BATCH):
                part = pairs[start : start + _BATCH]
                images = over(partial(decode_resized, size=size), [path for path, _ in part])
                yield np.stack(list(images)), np.array([label for _, label in part], dtype=np.int64)

    return Stream(len(pairs), batches)
