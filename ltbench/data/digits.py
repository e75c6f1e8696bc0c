"""The embedded data set: scikit-learn's handwritten digits (1,797 grey 8x8 images, ten classes).

Nothing is downloaded and nothing is cached: it is read in milliseconds.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.dataset import ArrayDataset, Images, Labels, Splits
from ltbench.data.split import draw_per_class

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
IMAGE_SIZE = 8
TEST_PER_CLASS = 60


def load_digits() -> Splits:
    """Training pool (1,197 images, at least 114 a class) and test set (60 a class).

    Per class one shuffle, in class order, by one ``RandomState(0)``; the first 60 are test images.
    Both sets are stacked class by class.
    """
    grey, labels = _read()
    images = scale(grey)
    first, second = _split(labels)
    return Splits(
        train=ArrayDataset(images[first], labels[first], CLASS_NAMES),
        test=ArrayDataset(images[second], labels[second], CLASS_NAMES),
        origin="embedded in scikit-learn",
    )


def split_indices() -> tuple[Labels, Labels]:
    """Places in scikit-learn's ``load_digits()`` of the training pool and of the test set, in order."""
    return _split(_read()[1])


def _split(labels: Labels) -> tuple[Labels, Labels]:
    return draw_per_class(labels, len(CLASS_NAMES), TEST_PER_CLASS, seed=0)


def _read() -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Grey values 0..16 (N, 8, 8) and labels (N,), from scikit-learn's own file where it lies as
    expected: importing scikit-learn takes about two seconds, in every process."""
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1].reshape(-1, IMAGE_SIZE, IMAGE_SIZE), table[:, -1].astype(np.int64)
    from sklearn import datasets

    bunch: Any = datasets.load_digits()
    return np.asarray(bunch.images), np.asarray(bunch.target, dtype=np.int64)


def scale(images: np.ndarray[Any, np.dtype[np.float64]]) -> Images:
    """Grey values 0..16 (N, 8, 8) to uint8 0..255 (N, 3, 8, 8), three equal channels."""
    grey: Images = np.rint(images * 255.0 / 16.0).astype(np.uint8)
    return np.repeat(grey[:, None], 3, axis=1)
