"""A protocol met with its images: training set, groups, ranks and test sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ltbench.data.dataset import Dataset, Images, Splits
from ltbench.data.published_draws import find_published, shifted_names
from ltbench.errors import InputError
from ltbench.protocol.protocol import VALIDATION, Protocol, TrainConfig
from ltbench.shift.groups import class_groups
from ltbench.shift.mixes import unnamed_classes
from ltbench.shift.profiles import Counts
from ltbench.shift.sampling import Indices
from ltbench.shift.testset import PublishedDraw
from ltbench.shift.testsets import TestSet, plan_test_sets
from ltbench.shift.trainset import TrainSet, select_training


@dataclass(frozen=True)
class HoldOutImages:
    """Labelled images beside training and test images: ``indices`` into ``images``, in that order."""

    images: Dataset
    indices: Indices

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> Indices:
        """``(H,)`` int64."""
        return self.images.labels[self.indices]

    def read(self) -> Images:
        """``(H, 3, S, S)`` uint8."""
        return self.images.read(self.indices)


@dataclass(frozen=True)
class Task:
    """What every trial of a protocol shares. rank: training rank ``(C,)``."""

    protocol: Protocol
    splits: Splits
    train: TrainSet
    rank: Counts
    groups: dict[str, list[int]]
    test_sets: list[TestSet]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why a test set that the protocol lists is not there, by its name."""

    absent_lists: tuple[str, ...] = ()
    """Published test lists that the protocol names and that are not here."""

    @property
    def holdout(self) -> HoldOutImages:
        """By ``train.holdout``: a share of the training images, or the source's validation images."""
        return held_out(self.splits, self.train, self.protocol.train)


def held_out(splits: Splits, train: TrainSet, config: TrainConfig) -> HoldOutImages:
    """The hold-out of ``config``; raises :class:`InputError` where the source has no validation images."""
    if config.holdout != VALIDATION:
        return HoldOutImages(splits.train, train.holdout)
    if splits.holdout is None:
        raise InputError(
            f'train.holdout = "{VALIDATION}": {splits.origin} has no validation images (a folder or split '
            "named val, valid, validation or dev)"
        )
    return HoldOutImages(splits.holdout, np.arange(len(splits.holdout), dtype=np.int64))


def missing_sets(task: Task) -> list[str]:
    """What the test images do not allow, told before any work: classes and groups left out; and the
    classes that a mix does not name."""
    names = task.splits.test.class_names
    present = np.bincount(task.splits.test.labels, minlength=len(names)) > 0
    absent = [name for name, there in zip(names, present, strict=True) if not there]
    notes = []
    if absent:
        listed = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        of = "1 class" if len(absent) == 1 else f"{len(absent)} classes"
        verb = "it is" if len(absent) == 1 else "they are"
        notes.append(f"no test images of {of} ({listed}): {verb} in no test set")
    if task.protocol.test.partial:
        notes += [
            f"no test set {group}-only: its classes have no test images"
            for group, members in task.groups.items()
            if members and not present[members].any()
        ]
    notes += [f"no test set {name}: {why}" for name, why in task.left_out.items()]
    if task.absent_lists:
        notes.append(
            f"published test lists that are not here: {', '.join(task.absent_lists)}; these sets are "
            "drawn by ltbench (`ltbench data prepare PROTOCOL --data-dir ROOT --lists DIR` makes lists known)"
        )
    return [*notes, *unnamed_classes(task.protocol.test, names)]


def build_task(protocol: Protocol, splits: Splits) -> Task:
    """Raises :class:`ltbench.errors.InputError` where the protocol asks for more than there is."""
    classes = protocol.data.used_classes
    published, absent = published_draws(protocol, splits)
    train = select_training(splits.train.labels, classes, protocol.train)
    held_out(splits, train, protocol.train)  # told before any work
    groups = class_groups(train.full_counts, protocol.groups)
    available = np.bincount(splits.test.labels, minlength=classes).astype(np.int64)
    names = splits.test.class_names
    test_sets, left_out = plan_test_sets(
        protocol.test, available, train.rank, groups, names, published
    )
    return Task(protocol, splits, train, train.rank, groups, test_sets, left_out, absent)


def published_draws(
    protocol: Protocol, splits: Splits
) -> tuple[dict[str, PublishedDraw], tuple[str, ...]]:
    """The published lists of ``test.published`` by name of the set, and those that are not here.

    Raises :class:`InputError` where lists of other classes or of another training set would be read.
    """
    template = protocol.test.published
    if not template:
        return {}, ()
    if splits.files is None:
        raise InputError(
            f"test.published: images of {splits.origin} have no file names by which a list could be met"
        )
    for key, differs in (
        ("data.subset", bool(protocol.data.subset)),
        ("train.profile", protocol.train.profile != "all"),
    ):
        if differs:
            raise InputError(
                f"test.published: its lists follow the counts of all training images of all classes; with "
                f"{key} as it is here, add --set test.published="
            )
    names = shifted_names(protocol.test.ratios)
    found, absent = find_published(template, names, splits.files, protocol.data.classes)
    return found, tuple(absent)
