"""What a source's ``find`` returns, made from arrays, from lists of files, or from one image at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from ltbench.data.dataset import ArrayDataset, Dataset, FileNames, Images, Labels
from ltbench.data.decode import Decoded, Encoded, collect, decode_resized, mapper, try_decoding
from ltbench.data.findings import Findings, shown
from ltbench.data.folder import LabelledFile, file_stream, fit_option
from ltbench.data.folder_scan import VALIDATION_USE
from ltbench.data.raw import Found, Raw, Stream
from ltbench.errors import DataError

Arrays: TypeAlias = tuple[Images, ArrayLike]
"""Images uint8 ``(N, 3, H, W)`` with H = W, and labels ``(N,)`` in 0..C-1."""
Item: TypeAlias = Encoded | Images
"""One image: a path, the bytes of a file, a Pillow image, or uint8 ``(H, W, 3)`` or ``(H, W)``."""
_BATCH = 256
_SPLITS = ("train", "test")


def from_arrays(
    read: Callable[[], tuple[Arrays, Arrays]],
    class_names: Sequence[str],
    *,
    origin: str = "made in memory",
    files: Sequence[Path] = (),
    image_size: int | None = None,
    fit: str = "crop",
) -> Found:
    """A set that fits into memory; ``read()`` gives training and test images with their labels.

    files: what ``read`` reads; decoded images are kept in the cache until one of them changes.
    Without files nothing is kept: ``read`` is called in every process. image_size: images may have
    any size ``(N, 3, H, W)`` or be grey ``(N, H, W)``, and become squares of ``image_size`` by ``fit``, as
    for :func:`from_files`; without it they are taken as they are.
    """
    names = tuple(class_names)
    if image_size is not None:
        return _resized_arrays(read, names, image_size, origin, tuple(files), fit)

    def raw() -> Raw:
        train, test = (ArrayDataset(np.asarray(x), y, names) for x, y in read())
        return Raw(names, train.image_size, dataset_stream(train), dataset_stream(test))

    return Found("arrays", origin, tuple(files), raw, stored=bool(files))


def _resized_arrays(
    read: Callable[[], tuple[Arrays, Arrays]],
    names: tuple[str, ...],
    image_size: int,
    origin: str,
    files: tuple[Path, ...],
    fit: str,
) -> Found:
    findings = Findings()

    def raw() -> Raw:
        streams = (
            _resized(np.asarray(x), y, image_size, fit, f"{origin}, {split} image", findings)
            for split, (x, y) in zip(_SPLITS, read(), strict=True)
        )
        return Raw(names, image_size, *streams)

    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    options: dict[str, int | str] = {"image_size": image_size, "names": digest, **fit_option(fit)}
    return Found("arrays", origin, files, raw, options, findings, stored=bool(files))


def _resized(
    images: Images, given: ArrayLike, size: int, fit: str, what: str, findings: Findings
) -> Stream:
    labels = np.asarray(given, dtype=np.int64)
    grey = images.ndim == 3
    if images.dtype != np.uint8 or not (grey or (images.ndim == 4 and images.shape[1] == 3)):
        raise DataError(
            f"{what}s must be uint8 (N, 3, H, W) or (N, H, W), not {images.dtype} {images.shape}"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(f"{what}s: {len(images)} need as many labels, not an array {labels.shape}")

    def decoded(i: int) -> Decoded:
        image = Image.fromarray(images[i] if grey else images[i].transpose(1, 2, 0))
        return decode_resized(image, size, fit, upright=False, where=f"{what} {i}")

    def batches() -> Iterator[tuple[Images, Labels]]:
        for start in range(0, len(images), _BATCH):
            places = range(start, min(start + _BATCH, len(images)))
            told = [f"{what.rpartition(', ')[2]} {i}" for i in places]
            yield collect(map(decoded, places), told, findings), labels[start : places.stop]

    return Stream(len(images), batches)


def from_files(
    train: Sequence[tuple[Path, int]],
    test: Sequence[tuple[Path, int]],
    class_names: Sequence[str],
    image_size: int,
    *,
    origin: str,
    upright: bool = False,
    fit: str = "crop",
    holdout: Sequence[tuple[Path, int]] = (),
) -> Found:
    """Image files with their labels, in any format and size that Pillow reads; resized and cropped
    to ``image_size`` as :func:`ltbench.data.decode.decode_resized` says; fit: ``config.fit``, where the
    source leaves that to its users.

    upright: obey a camera's EXIF orientation. Off for published sets: the code that made their
    published numbers did not. holdout: validation images, where the set comes with some.
    """
    given = (train, test, holdout) if holdout else (train, test)
    parts: list[list[LabelledFile]] = [
        [(Path(path), int(label)) for path, label in part] for part in given
    ]
    names, findings = tuple(class_names), Findings()
    for path, _ in holdout:
        findings.note(VALIDATION_USE, shown(path))

    def raw() -> Raw:
        streams = (file_stream(part, image_size, findings, fit, upright=upright) for part in parts)
        return Raw(names, image_size, *streams)

    listed = [[(str(path), label) for path, label in part] for part in parts]
    return Found(
        kind="files",
        origin=origin,
        files=tuple(path for part in parts for path, _ in part),
        read=raw,
        options={**_decoding(names, image_size, upright, listed), **fit_option(fit)},
        findings=findings,
        names=FileNames(Path(), *(tuple((p.as_posix(), y) for p, y in part) for part in parts)),
    )


def from_items(
    open: Callable[[str, int], Item],
    train_labels: ArrayLike,
    test_labels: ArrayLike,
    class_names: Sequence[str],
    image_size: int,
    *,
    origin: str,
    files: Sequence[Path] = (),
    upright: bool = False,
    fit: str = "crop",
) -> Found:
    """A set of which any one image can be had: ``open("train", i)`` is the i-th training image.

    ``open`` is called from one thread, in any order. files: what it reads, as for
    :func:`from_arrays`; upright, fit as for :func:`from_files`.
    """
    names, findings = tuple(class_names), Findings()
    labels = {
        split: np.asarray(given, dtype=np.int64).reshape(-1)
        for split, given in zip(_SPLITS, (train_labels, test_labels), strict=True)
    }

    def decoded(split: str, i: int) -> Decoded:
        where = f"{origin}, {split} image {i}"
        item = open(split, i)
        encoded = _as_image(item, where) if isinstance(item, np.ndarray) else item
        return try_decoding(
            lambda: decode_resized(encoded, image_size, fit, upright=upright, where=where),
            image_size,
        )

    def one(split: str, i: int) -> Images:
        if not 0 <= i < len(labels[split]):
            raise IndexError(f"{split} image {i} is outside 0..{len(labels[split]) - 1}")
        found = decoded(split, i)
        if found.failed is not None:
            raise found.failed
        return found.pixels

    def stream(split: str) -> Stream:
        own = labels[split]

        def batches() -> Iterator[tuple[Images, Labels]]:
            with mapper(threaded=False) as over:
                for start in range(0, len(own), _BATCH):
                    places = range(start, min(start + _BATCH, len(own)))
                    told = [f"{split} image {i}" for i in places]
                    found = over(lambda i: decoded(split, i), places)
                    yield collect(found, told, findings), own[places.start : places.stop]

        return Stream(len(own), batches)

    listed = [labels[split].tolist() for split in _SPLITS]
    return Found(
        kind="items",
        origin=origin,
        files=tuple(files),
        read=lambda: Raw(names, image_size, *(stream(split) for split in _SPLITS)),
        options={**_decoding(names, image_size, upright, listed), **fit_option(fit)},
        findings=findings,
        stored=bool(files),
        open=one,
    )


def dataset_stream(dataset: Dataset) -> Stream:
    """The images of ``dataset`` in their order."""

    def batches() -> Iterator[tuple[Images, Labels]]:
        for start in range(0, len(dataset), _BATCH):
            places = np.arange(start, min(start + _BATCH, len(dataset)))
            yield dataset.read(places), dataset.labels[places]

    return Stream(len(dataset), batches)


def _decoding(
    names: tuple[str, ...], image_size: int, upright: bool, listed: object
) -> dict[str, int | str]:
    """What decides the decoded images beside the files: size, EXIF rule, order of classes and labels."""
    digest = hashlib.sha256(json.dumps([names, listed]).encode()).hexdigest()
    return {
        "image_size": image_size,
        "exif": "obeyed" if upright else "ignored",
        "labels": digest,
    }


def _as_image(array: Images, where: str) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise DataError(
            f"{shown(where)} must be uint8 (H, W, 3) or (H, W), not {array.dtype} {array.shape}"
        )
    return Image.fromarray(array)
