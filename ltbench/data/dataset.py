"""Dataset: labelled images behind one door, wherever they come from."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ltbench.errors import DataError

Images: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.int64]

_CHUNK = 4096  # images looked at together: small enough for memory-mapped sets of any size


class Dataset(ABC):
    """Labelled RGB images of one size.

    ``labels`` is int64 (N,) and read-only, ``class_names`` has one name per label value,
    ``image_size`` is height and width in pixels.
    """

    labels: Labels
    class_names: tuple[str, ...]
    image_size: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over shape, image bytes, labels and class names."""

    @abstractmethod
    def read(self, indices: ArrayLike) -> Images:
        """Images ``(B, 3, H, W)``, uint8, a fresh array, for integer ``indices`` (B,).

        Raises :class:`IndexError` for an index outside 0..N-1.
        """

    @property
    def streamed(self) -> bool:
        """Whether training opens its images one by one (:meth:`open`) instead of keeping all of them."""
        return False

    def open(self, index: int) -> Image.Image:
        """The image at ``index`` as it was taken, in RGB, of any width and height; of streamed sets only."""
        raise NotImplementedError(f"{type(self).__name__} gives images of one size only: read()")


class ArrayDataset(Dataset):
    """Images that lie in one array, in memory or memory-mapped.

    ``images`` is uint8 ``(N, 3, H, W)`` with H = W, ``labels`` integers ``(N,)``. A fingerprint
    that is already known may be passed. Raises :class:`DataError` for other shapes or types, and
    for labels without a class name.
    """

    def __init__(
        self,
        images: Images,
        labels: ArrayLike,
        class_names: Sequence[str],
        *,
        fingerprint: str | None = None,
    ) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise DataError(f"images must be uint8 (N, 3, H, W), not {images.dtype} {images.shape}")
        if images.shape[2] != images.shape[3]:
            raise DataError(
                f"images must be square, not {images.shape[2]} x {images.shape[3]} pixels"
            )
        own = np.array(labels, dtype=np.int64)  # a copy: nobody else may change it
        if own.shape != (len(images),):
            raise DataError(f"{len(images)} images need as many labels, not an array {own.shape}")
        check_labels(own, len(class_names), "labels")
        own.flags.writeable = False
        self._images = images
        self.labels = own
        self.class_names = tuple(class_names)
        self.image_size = int(images.shape[2])
        if fingerprint is not None:
            self.__dict__["fingerprint"] = fingerprint  # where cached_property keeps its value

    @cached_property
    def fingerprint(self) -> str:
        digest = FingerprintDigest(self._images.shape, self.class_names)
        for start in range(0, len(self), _CHUNK):
            digest.add_images(self._images[start : start + _CHUNK])
        return digest.finish(self.labels)

    def read(self, indices: ArrayLike) -> Images:
        chosen = np.asarray(indices)
        if chosen.size == 0:
            chosen = np.zeros(0, dtype=np.int64)  # an empty list would come as float64
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise IndexError(f"indices must be integers (B,), not {chosen.dtype} {chosen.shape}")
        # NumPy counts negative indices from the end; here one can only be a mistake.
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"image indices must lie in 0..{len(self) - 1}")
        return np.ascontiguousarray(self._images[chosen])


@dataclass(frozen=True)
class FileNames:
    """Name (below ``root``, with ``/``) and label of every image's file, in the order of the images."""

    root: Path
    train: Sequence[tuple[str, int]]
    test: Sequence[tuple[str, int]]
    holdout: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Splits:
    """Training and test images of one data set; ``origin`` says where they were read from.

    ``notes``: what was done to images, to how many and the first of them (``[2, "a.png", "b.png"]``).
    ``files``: of a source whose images are files of their own, of all its classes.
    ``warnings``: what is probably a mistake, a line for each case, where it was looked for.
    ``holdout``: validation images that the source comes with; ``train.holdout = "val"`` uses them.
    """

    train: Dataset
    test: Dataset
    origin: str
    notes: Mapping[str, list[object]] = field(default_factory=dict)
    files: FileNames | None = None
    warnings: Mapping[str, list[str]] = field(default_factory=dict)
    holdout: Dataset | None = None
    code: str = ""
    """Digest of the plugin that found them; empty for a source that ltbench ships."""


class FingerprintDigest:
    """Computes :attr:`Dataset.fingerprint` piece by piece, so that no set need fit in memory."""

    def __init__(self, shape: Sequence[int], class_names: Sequence[str]) -> None:
        header = json.dumps(
            {"shape": list(shape), "class_names": list(class_names)}, sort_keys=True
        )
        self._digest = hashlib.sha256(header.encode() + b"\n")

    def add_images(self, images: Images) -> None:
        self._digest.update(np.ascontiguousarray(images).reshape(-1).data)

    def finish(self, labels: Labels) -> str:
        self._digest.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
        return self._digest.hexdigest()


def check_labels(labels: Labels, classes: int, where: str) -> None:
    """Raises :class:`DataError`, naming ``where``, unless all labels lie in 0..classes-1."""
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        bad = int(labels[(labels < 0) | (labels >= classes)][0])
        raise DataError(f"{where}: label {bad} is outside 0..{classes - 1} ({classes} classes)")


def channel_statistics(
    dataset: Dataset, indices: ArrayLike | None = None
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel over all pixels, in [0, 1].

    ``indices`` chooses images (default all). Counted in a histogram, hence exact whatever the
    number of images. Raises :class:`DataError` where there is no image.
    """
    chosen = np.arange(len(dataset)) if indices is None else np.asarray(indices)
    if chosen.size == 0:
        raise DataError("no images to take mean and standard deviation of")
    counts = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(chosen), _CHUNK):
        images = dataset.read(chosen[start : start + _CHUNK])
        for channel in range(3):
            counts[channel] += np.bincount(images[:, channel].reshape(-1), minlength=256)
    values = np.arange(256) / 255.0
    mean = counts @ values / counts.sum(axis=1)
    spread = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1))
    return _triple(mean), _triple(spread)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
