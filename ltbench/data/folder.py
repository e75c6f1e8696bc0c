"""A user's own images: ``train/<class>/*`` and ``test/<class>/*``, any format that Pillow reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ltbench.data.dataset import Images, Labels
from ltbench.data.decode import Decoded, collect, decode_resized, mapper, try_decoding
from ltbench.data.findings import Findings, shown
from ltbench.data.folder_scan import Split, scan
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import nearest

_BATCH = 256
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
BY_VALUE = "class folders are whole numbers and ordered by value, not as text"


def find_folder(root: Path, image_size: int) -> Found:
    """The images below ``root``. Classes are those of ``train``, in :func:`class_order`.

    A class has one name whether an accent is stored as one character or two (Unicode NFC). Hidden
    files and folders are ignored, files beside the class folders left out and counted; every other
    file in a class folder must be an image. A class without test images is allowed.

    What is wrong is gathered in the result's ``findings``: a missing split, a class without training
    images, a test class unknown in training, a folder inside a class folder, names that are not
    UTF-8, links that lead nowhere.
    """
    findings = Findings()
    train, test = scan(root, "train", findings), scan(root, "test", findings)
    names = class_order(train)
    by_value = names != tuple(sorted(train))
    if by_value:
        findings.note(BY_VALUE, f"{shown(names[0])} to {shown(names[-1])}")
    _check_classes(root, train, test, findings)
    files = [path for split in (train, test) for paths in split.values() for path in paths]

    def read() -> Raw:
        return Raw(
            names,
            image_size,
            _stream(train, names, image_size, findings),
            _stream(test, names, image_size, findings),
        )

    return Found(
        kind="folder",
        origin=f"{shown(root)} (image folder, {len(names)} classes)",
        files=tuple(files),
        read=read,
        options={
            "image_size": image_size,
            "reader": 2,  # 2: with what was done to the images
            **({"order": "value"} if by_value else {}),
        },
        findings=findings,
    )


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted by name; where all are whole numbers, by value: 2 before 10."""
    listed = sorted(names)
    if all(_WHOLE.fullmatch(name) for name in listed):
        listed.sort(key=int)
    return tuple(listed)


def _check_classes(root: Path, train: Split, test: Split, findings: Findings) -> None:
    for name in sorted(train):
        if not train[name]:
            findings.error(
                "classes without training images",
                f"{shown(root / 'train' / name)} has no images; each class needs a training image",
            )
        elif not test.get(name) and any(test.values()):
            findings.note("classes without test images, in no test set", shown(name))
    for name in sorted(test) if train else ():
        if name not in train:
            findings.error(
                "test classes that are unknown in train",
                f"{shown(root / 'test' / name)} is a class without a folder in "
                f"{shown(root / 'train')}{nearest(name, train)}",
            )


def _stream(split: Split, names: tuple[str, ...], size: int, findings: Findings) -> Stream:
    pairs = [(path, label) for label, name in enumerate(names) for path in split.get(name, ())]

    def batches() -> Iterator[tuple[Images, Labels]]:
        with mapper(threaded=True) as over:
            for start in range(0, len(pairs), _BATCH):
                part = pairs[start : start + _BATCH]
                decoded = over(partial(_decode, size=size), [path for path, _ in part])
                images = collect(decoded, [shown(path) for path, _ in part], findings)
                yield images, np.array([label for _, label in part], dtype=np.int64)

    return Stream(len(pairs), batches)


def _decode(path: Path, size: int) -> Decoded:
    return try_decoding(partial(decode_resized, path, size), size)
