"""Some of the classes of a data set, with labels of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from ltbench.data.dataset import Dataset, Images, Labels, Splits
from ltbench.features.dataset import FeatureDataset
from ltbench.shift.class_labels import class_labels


class ClassSubset(Dataset):
    """The images of ``classes`` (label values of ``whole``), in the order of ``whole``.

    The k-th listed class has label k. ``places`` ``(N,)`` are the images' places in ``whole``.
    """

    def __init__(self, whole: Dataset, classes: Sequence[int]) -> None:
        labels = np.full(len(whole.class_names), -1, dtype=np.int64)
        labels[list(classes)] = np.arange(len(classes))
        self.places: Labels = np.flatnonzero(labels[whole.labels] >= 0).astype(np.int64)
        own = labels[whole.labels[self.places]]
        own.flags.writeable = False
        self.labels = own
        self.class_names = tuple(whole.class_names[c] for c in classes)
        self.image_size = whole.image_size
        self._whole = whole
        self._classes = [int(c) for c in classes]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over the fingerprint of the whole set and the classes."""
        text = json.dumps({"whole": self._whole.fingerprint, "classes": self._classes})
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, indices: ArrayLike) -> Images:
        chosen = np.asarray(indices)
        if chosen.size == 0:
            chosen = np.zeros(0, dtype=np.int64)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"image indices must lie in 0..{len(self) - 1}")
        return self._whole.read(self.places[chosen])

    @property
    def streamed(self) -> bool:
        return self._whole.streamed

    def open(self, index: int) -> Image.Image:
        return self._whole.open(int(self.places[index]))


def take_classes(splits: Splits, subset: Sequence[str]) -> Splits:
    """Both splits with the classes ``subset`` alone; all of them where it is empty."""
    if not subset:
        return splits
    classes = class_labels(subset, splits.train.class_names, "data.subset")
    held = splits.holdout
    if isinstance(splits.train, FeatureDataset) and isinstance(splits.test, FeatureDataset):
        return replace(splits, train=splits.train.take(classes), test=splits.test.take(classes))
    return replace(
        splits,
        train=ClassSubset(splits.train, classes),
        test=ClassSubset(splits.test, classes),
        holdout=None if held is None else ClassSubset(held, classes),
    )


def files_of(splits: Splits, split: str) -> tuple[str, ...]:
    """The file of each image of ``train`` or ``test``, in order; none where images are no files."""
    if splits.files is None:
        return ()
    listed: Sequence[tuple[str, int]] = getattr(splits.files, split)
    names = tuple(name for name, _ in listed)
    dataset: Dataset = getattr(splits, split)
    if isinstance(dataset, ClassSubset):
        return tuple(names[place] for place in dataset.places)
    return names
