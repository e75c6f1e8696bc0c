"""A folder of features met with what a protocol says of it, and the digits as features."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ltbench.data.dataset import Dataset, Images, Splits
from ltbench.data.digits import load_digits
from ltbench.data.findings import shown
from ltbench.data.raw import Found, Raw
from ltbench.errors import DataError
from ltbench.features.dataset import FeatureDataset, LivePairs
from ltbench.features.folder import FeatureFolder
from ltbench.features.header import HEADER, TEST, TRAIN
from ltbench.features.tensors import Array
from ltbench.protocol.protocol import DataConfig


def find_features(root: Path, config: DataConfig) -> Found:
    """The folder, opened and checked against ``config``; True for ``Found.opened``: every number, too.

    Raises :class:`DataError`, one line, for a folder that is damaged, or whose header is not what the
    protocol claims.
    """
    folder = FeatureFolder(root)
    header = folder.header
    for name, claimed, got in (
        ("dim", config.dim, header.dim),
        ("encoder.name", config.encoder.name, header.encoder.name),
        ("encoder.weights", config.encoder.weights, header.encoder.weights),
    ):
        if claimed and claimed != got:
            raise DataError(
                f"{root / HEADER}: {name.split('.')[-1]} is {got!r}; the protocol says "
                f"data.{name} = {claimed!r}"
            )

    def dataset(split: str, **more: Any) -> FeatureDataset:
        return FeatureDataset(
            folder.clean(split),
            folder.labels(split),
            header.class_names,
            folder.fingerprint(split),
            places=np.argsort(folder.row(split)),
            encoder=header.encoder,
            **more,
        )

    def opened(thorough: bool) -> Splits:
        if thorough:
            folder.verify()
        copies = [folder.copy(k) for k in range(header.augmented)]
        pairs = [folder.pair(k) for k in range(header.pairs)]
        train = dataset(
            TRAIN,
            copies=copies,
            text=folder.text,
            whole_pool=header.whole_pool,
            origin=header.source.fingerprint,
        )
        return Splits(train, dataset(TEST, pairs=pairs, views=header.views), origin)

    origin = f"{shown(root)} ({header.encoder.name}, {header.dim} numbers an image)"
    files = (root / HEADER, *(root / name for name in header.tensors))
    return Found("features", origin, files, _no_images, stored=False, opened=opened)


def digit_features() -> Found:
    """The pixels of the digits: 64 grey values in [0, 1] an image; views are rendered when asked for."""

    def opened(thorough: bool) -> Splits:
        splits = load_digits()
        train, test = splits.train, splits.test
        return Splits(
            _pixels(train, train.fingerprint), _pixels(test, train.fingerprint), splits.origin
        )

    origin = "embedded in scikit-learn (pixels)"
    return Found("features", origin, (), _no_images, stored=False, opened=opened)


def grey_values(images: Images) -> Array:
    """``(B, 3, H, W)`` uint8 with equal channels to float16 ``(B, H W)`` in [0, 1]."""
    return (images[:, 0].reshape(len(images), -1) / 255.0).astype(np.float16)


def _pixels(images: Dataset, origin: str) -> FeatureDataset:
    told = f"grey values of {images.fingerprint}"
    return FeatureDataset(
        grey_values(images.read(np.arange(len(images)))),
        images.labels,
        images.class_names,
        hashlib.sha256(told.encode()).hexdigest(),
        live=LivePairs(images, grey_values),
        origin=origin,
    )


def _no_images() -> Raw:
    raise DataError("frozen features come without images")
