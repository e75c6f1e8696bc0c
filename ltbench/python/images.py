"""The images of a protocol and its test sets, exactly those of training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ltbench.errors import InputError
from ltbench.python.arguments import AnyPath, Plugins, dotted, optional_path, plugin_files
from ltbench.python.words import in_python

if TYPE_CHECKING:
    from ltbench.data.sources import DataStatus
    from ltbench.protocol.protocol import Protocol
    from ltbench.task import Task

SPLITS = ("train", "holdout", "test")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images ``(B, 3, H, W)`` uint8 RGB, 0 to 255, and ``labels`` ``(B,)`` int64 in 0..C-1.

    indices: ``(B,)`` int64 places in the source's own order (of its training or its test images);
    counts: ``(C,)`` int64 images per class of this set; class_names: ``C`` names.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    counts: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class DrawnTestSet:
    """A test label distribution as indices into the test images.

    kind: forward, uniform, backward, partial, dirichlet or permuted; ratio: its imbalance, None
    where it has none; counts: ``(C,)`` int64 images per class of each draw; prior: ``(C,)``
    float64, p_c = counts_c / sum(counts), what ``oracle`` is told; draws: one int64 array ``(n,)``
    for each draw, indices into ``load_images(protocol, "test")``.
    """

    name: str
    kind: str
    ratio: float | None
    counts: NDArray[np.int64]
    prior: NDArray[np.float64]
    draws: tuple[NDArray[np.int64], ...]


def load_images(
    protocol: str,
    split: str = "train",
    *,
    data_dir: AnyPath | None = None,
    download: bool = True,
    plugins: Plugins = (),
    **overrides: Any,
) -> ImageSet:
    """The images of a protocol: what is trained on (``"train"``), held out of that (``"holdout"``,
    with ``train={"holdout": 0.1}``), or all test images (``"test"``).

    ``"train"`` is the long-tailed subset, in the order in which it is selected, without
    augmentation or normalisation. data_dir: a folder with the images, only read; download: fetch
    CIFAR into the cache where it is missing; overrides as for :func:`ltbench.load_protocol`. Raises
    :class:`ValueError` for wrong names, and where images are missing or not the protocol's.
    """
    if split not in SPLITS:
        raise InputError(f"split = {split!r} must be one of: {', '.join(SPLITS)}")
    task = _task(protocol, data_dir, download, plugins, overrides)
    splits = task.splits
    dataset = splits.test if split == "test" else splits.train
    if split == "test":
        indices = np.arange(len(splits.test), dtype=np.int64)
    elif split == "holdout":
        dataset, indices = task.holdout.images, np.array(task.holdout.indices)
    else:
        indices = np.array(task.train.indices)
    labels = np.array(dataset.labels[indices])
    counts = np.bincount(labels, minlength=len(dataset.class_names)).astype(np.int64)
    return ImageSet(dataset.read(indices), labels, indices, counts, dataset.class_names)


def draw_test_sets(
    protocol: str,
    *,
    data_dir: AnyPath | None = None,
    download: bool = True,
    plugins: Plugins = (),
    **overrides: Any,
) -> dict[str, DrawnTestSet]:
    """Every test label distribution of a protocol by name, with its draws and its prior.

    In the order of the tables: forward from the largest ratio, uniform, backward, partial, families.
    These are the very images on which every row is evaluated; a set that uses all images of its
    classes has one draw. Arguments and errors as for :func:`load_images`.
    """
    from ltbench.shift.profiles import prior

    task = _task(protocol, data_dir, download, plugins, overrides)
    labels = np.array(task.splits.test.labels)
    return {
        test_set.name: DrawnTestSet(
            name=test_set.name,
            kind=test_set.kind,
            ratio=test_set.ratio,
            counts=np.array(test_set.counts),
            prior=prior(test_set.counts),
            draws=tuple(test_set.indices(labels, draw) for draw in range(test_set.draws)),
        )
        for test_set in task.test_sets
    }


def locate_images(
    protocol: str, *, data_dir: AnyPath | None = None, plugins: Plugins = ()
) -> DataStatus:
    """What is there, what is missing and how to get it, as ``ltbench data where``; reads no image.

    ``status.ready`` says whether nothing must be downloaded. Raises :class:`ValueError` for an
    unknown protocol.
    """
    from ltbench.data.sources import describe

    status = describe(
        _protocol(protocol, plugins, {}).data, optional_path(data_dir), plugin_files(plugins)
    )
    return replace(status, missing=in_python(status.missing), remedy=in_python(status.remedy))


def export_lists(
    protocol: str,
    folder: AnyPath | None = None,
    *,
    draws: int | None = None,
    data_dir: AnyPath | None = None,
    download: bool = True,
    plugins: Plugins = (),
    **overrides: Any,
) -> Path:
    """Writes index lists of every training and test set, with checksums, as ``ltbench data export``.

    folder: by default ``<protocol>-lists``; draws: how many of each shifted set, None for all.
    Returns the folder. Raises :class:`ValueError` as :func:`load_images` does, and where the folder
    holds something else or cannot be written.
    """
    from ltbench.imported import export

    if draws is not None and draws < 1:
        raise InputError(f"draws = {draws} must be at least 1")
    task = _task(protocol, data_dir, download, plugins, overrides)
    target = Path(f"{task.protocol.name}-lists") if folder is None else Path(folder)
    export.export_lists(task, target, draws)
    return target


def _protocol(name: str, plugins: Plugins, overrides: dict[str, Any]) -> Protocol:
    from ltbench.protocol.file import load_protocol_config

    return load_protocol_config(name, dotted(overrides), plugins=plugin_files(plugins))


def _task(
    name: str,
    data_dir: AnyPath | None,
    download: bool,
    plugins: Plugins,
    overrides: dict[str, Any],
) -> Task:
    from ltbench.data.sources import open_data
    from ltbench.task import build_task

    protocol = _protocol(name, plugins, overrides)
    folder = optional_path(data_dir)
    files = plugin_files(plugins)
    return build_task(protocol, open_data(protocol.data, folder, download=download, plugins=files))
