"""A user's own images: ``train/<class>/*`` and ``test/<class>/*``, any format that Pillow reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ltbench.data.class_order import BY_VALUE, ordered_classes
from ltbench.data.dataset import FileNames, Images, Labels
from ltbench.data.decode import Decoded, collect, decode_resized, mapper, try_decoding
from ltbench.data.findings import Findings, shown
from ltbench.data.folder_scan import VALIDATION_USE, Split, check_splits, scan, validation_folder
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import nearest

_BATCH = 256

LabelledFile: TypeAlias = tuple[Path, int]


def find_folder(root: Path, image_size: int, fit: str = "crop") -> Found:
    """The images below ``root``. Classes are those of ``train``, in :func:`ordered_classes`.

    A class has one name whether an accent is stored as one character or two (Unicode NFC). Hidden
    files and folders, what other programs leave behind and files beside the class folders are left
    out and counted; every other file in a class folder must be an image. A class without test images
    is allowed.

    What is wrong is gathered in the result's ``findings``: a missing split, a class without training
    images, a test class unknown in training, a folder inside a class folder, names that are not
    UTF-8, links that lead nowhere.
    """
    findings = Findings()
    train: Split = {}
    test: Split = {}
    held: Split = {}
    if check_splits(root, findings):
        train, test = scan(root, "train", findings), scan(root, "test", findings)
        if (validation := validation_folder(root)) is not None:
            held = scan(root, validation.name, findings)
    names = ordered_classes(train)
    by_value = names != tuple(sorted(train))
    if by_value:
        findings.note(BY_VALUE, f"{shown(names[0])} to {shown(names[-1])}")
    _check_classes(root, train, test, findings)
    _check_validation(root, held, train, findings)
    files = [path for split in (train, test, held) for paths in split.values() for path in paths]
    parts = [_labelled(split, names) for split in (train, test, held)]

    def read() -> Raw:
        streams = [file_stream(part, image_size, findings, fit) for part in parts]
        return Raw(names, image_size, streams[0], streams[1], streams[2] if parts[2] else None)

    return Found(
        kind="folder",
        origin=f"{shown(root)} (image folder, {len(names)} classes)",
        files=tuple(files),
        read=read,
        options={
            "image_size": image_size,
            "reader": 2,  # 2: with what was done to the images
            **fit_option(fit),
            **({"order": "value"} if by_value else {}),
            **({"holdout": 1} if parts[2] else {}),
        },
        findings=findings,
        names=FileNames(root, *(tuple(_below(root, *one) for one in p) for p in parts)),
    )


def _labelled(split: Split, names: tuple[str, ...]) -> list[LabelledFile]:
    """In the order of the labels; a class that ``names`` lacks is told and left out."""
    return [(path, label) for label, name in enumerate(names) for path in split.get(name, ())]


def _below(root: Path, path: Path, label: int) -> tuple[str, int]:
    return path.relative_to(root).as_posix(), label


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


def _check_validation(root: Path, held: Split, train: Split, findings: Findings) -> None:
    for name in sorted(held):
        for path in held[name]:
            findings.note(VALIDATION_USE, shown(path))
        if train and name not in train:
            findings.error(
                "validation classes that are unknown in train",
                f"{shown(name)} is a class of the validation images without a folder in "
                f"{shown(root / 'train')}{nearest(name, train)}",
            )


def fit_option(fit: str) -> dict[str, str]:
    """Its part of a cache key; none for the usual one, which keys had before there were others."""
    return {} if fit == "crop" else {"fit": fit}


def file_stream(
    pairs: Sequence[LabelledFile],
    size: int,
    findings: Findings,
    fit: str = "crop",
    *,
    upright: bool = True,
) -> Stream:
    """Image files as :func:`decode_resized` reads them, several at once."""

    def batches() -> Iterator[tuple[Images, Labels]]:
        with mapper(threaded=True) as over:
            for start in range(0, len(pairs), _BATCH):
                part = pairs[start : start + _BATCH]
                decoded = over(
                    partial(_decode, size=size, fit=fit, upright=upright),
                    [path for path, _ in part],
                )
                images = collect(decoded, [shown(path) for path, _ in part], findings)
                yield images, np.array([label for _, label in part], dtype=np.int64)

    return Stream(len(pairs), batches)


def _decode(path: Path, size: int, fit: str, upright: bool) -> Decoded:
    return try_decoding(partial(decode_resized, path, size, fit, upright=upright), size)
