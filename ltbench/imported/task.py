"""The protocol and task that imported logits are scored under."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ltbench.data.dataset import Dataset, Images, Labels, Splits
from ltbench.data.sources import open_data
from ltbench.errors import InputError, nearest
from ltbench.imported.outputs import ModelOutputs
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import LARGEST, Protocol, TestConfig
from ltbench.settings import read, show
from ltbench.shift.groups import class_groups
from ltbench.shift.profiles import Counts, training_rank
from ltbench.shift.testsets import plan_test_sets
from ltbench.shift.trainset import TrainSet
from ltbench.task import Task, build_task
from ltbench.trial.trial import TRAINING_SEMANTICS, Trial

PROTOCOL = "imported"
VERSION = "1.1"
"""1.1: shifted sets as large as the classes allow, where these differ in size."""
RATIOS = (2.0, 5.0, 10.0, 25.0, 50.0)
"""Of those the test images allow, forward or backward."""
_MIX = "test.mixes."
_OPEN = (
    *("groups.many_above", "groups.few_below"),
    *("test.ratios", "test.draws", "test.max_count", "test.size"),
)


@dataclass(frozen=True)
class ImportedTrial(Trial):
    """A trial that is known by its outputs alone. arrays: SHA-256 of each."""

    arrays: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """The outputs and what they are scored on; how they came about is not known."""
        return {
            "semantics": TRAINING_SEMANTICS,
            "imported": {"name": self.training, "arrays": dict(self.arrays)},
            "seed": self.seed,
            "fingerprints": [self.train_fingerprint, self.test_fingerprint],
        }


class LabelsOnly(Dataset):
    """Test images of which only the labels are known."""

    def __init__(self, labels: Labels, classes: int, names: tuple[str, ...] | None = None) -> None:
        self.labels = labels
        self.class_names = names or tuple(f"class {c}" for c in range(classes))
        self.image_size = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.labels.astype("<i8").tobytes()).hexdigest()

    def read(self, indices: ArrayLike) -> Images:
        raise InputError("imported logits come without images")


def protocol_task(
    name: str, overrides: Mapping[str, Any], plugins: tuple[str, ...], data_dir: Path | None
) -> Task:
    """The task of protocol ``name``."""
    protocol = load_protocol_config(name, overrides, plugins=plugins)
    return build_task(protocol, open_data(protocol.data, data_dir, plugins=plugins))


def check_classes(outputs: ModelOutputs, task: Task) -> None:
    """Raises :class:`InputError` where the protocol has more or fewer classes."""
    classes, data = outputs.logits.shape[2], task.protocol.data
    if classes != data.used_classes:
        raise InputError(
            f"the logits have {classes} classes, {task.protocol.name} has {data.used_classes}"
        )


def check_fits(outputs: ModelOutputs, task: Task) -> tuple[str, ...]:
    """Labels, counts and hold-out must be the protocol's; what deserves a second look, a line each.

    Raises :class:`InputError` with the first difference.
    """
    _check_same_labels(outputs, task)
    name, counts = task.protocol.name, task.train.counts
    if outputs.counts is not None and outputs.counts.tolist() != counts.tolist():
        c = int(np.flatnonzero(outputs.counts.numpy() != counts)[0])
        raise InputError(
            f"the model was trained on another training set than that of {name}: class {c} "
            f"has {int(outputs.counts[c])} training images in --counts, {counts[c]} there"
        )
    return _check_same_holdout(outputs, task)


def _check_same_holdout(outputs: ModelOutputs, task: Task) -> tuple[str, ...]:
    if outputs.holdout is None:
        return ()
    name, got = task.protocol.name, outputs.holdout.labels.numpy()
    expected = task.splits.train.labels[task.train.holdout]
    if not len(expected):
        return (
            f"{name} holds no training images out, so --holdout-logits are of images beyond its "
            "training set; where the model was trained without a part of it, --set train.holdout says so",
        )
    if not np.array_equal(got, expected):
        same = f"label {expected[0]} first" if len(expected) else "none"
        if len(got) == len(expected):
            i = int(np.flatnonzero(got != expected)[0])
            same = f"label {expected[i]} at image {i}, --holdout-labels {got[i]}"
        raise InputError(
            f"--holdout-labels are not those of the {len(expected)} images that {name} holds out, in "
            f"their order ({len(got)} are given; {same}); `ltbench data export` lists them"
        )
    return ()


def _check_same_labels(outputs: ModelOutputs, task: Task) -> None:
    name, expected, got = task.protocol.name, task.splits.test.labels, outputs.labels.numpy()
    if len(got) != len(expected):
        raise InputError(
            f"{len(got)} labels are given, the test set of {name} has {len(expected)} images"
        )
    differing = np.flatnonzero(got != expected)
    if len(differing):
        i = int(differing[0])
        raise InputError(
            f"the labels are not the test labels of {name} in their order: image {i} has label "
            f"{got[i]}, there it has {expected[i]} ({len(differing)} of {len(got)} differ)"
        )


def free_task(outputs: ModelOutputs, overrides: Mapping[str, Any]) -> Task:
    """The task of the protocol ``imported``, made from labels and counts.

    Test ratios: those of :data:`RATIOS` that leave the rarest class an image, unless given.
    """
    if outputs.counts is None:
        raise InputError(
            "--counts FILE is missing: without --protocol nothing else tells the training images "
            "per class"
        )
    classes = outputs.logits.shape[2]
    counts: Counts = outputs.counts.numpy()
    available: Counts = np.bincount(outputs.labels.numpy(), minlength=classes).astype(np.int64)
    rank = training_rank(counts)
    protocol = _protocol(classes, available, rank, overrides)
    groups = class_groups(counts, protocol.groups)
    nothing = np.zeros(0, dtype=np.int64)
    test = LabelsOnly(outputs.labels.numpy(), classes, outputs.names)
    names = test.class_names
    test_sets, left_out = plan_test_sets(protocol.test, available, rank, groups, names)
    return Task(
        protocol=protocol,
        splits=Splits(LabelsOnly(nothing, classes, outputs.names), test, "imported"),
        train=TrainSet(nothing, nothing, counts, counts),
        rank=rank,
        groups=groups,
        test_sets=test_sets,
        left_out=left_out,
    )


def _protocol(
    classes: int, available: Counts, rank: Counts, overrides: Mapping[str, Any]
) -> Protocol:
    table: dict[str, Any] = {
        "name": PROTOCOL,
        "version": VERSION,
        "title": "Imported outputs",
        "data": {"source": "imported", "classes": classes, "image_size": 4},
        "train": {"profile": "all"},
        # How the model was trained is not known; strategies that take gradient steps borrow the
        # optimiser from here, which is that of SADE's CIFAR-100 recipe. Records say so.
        "recipe": {"epochs": 1, "batch_size": 1, "lr": 0.1, "weight_decay": 5e-4},
        "groups": {},
        "test": {"size": LARGEST},
    }
    for key, value in overrides.items():
        if key.startswith(_MIX) and key.count(".") == 2:
            table["test"].setdefault("mixes", {})[key.removeprefix(_MIX)] = value
            continue
        if key not in _OPEN:
            raise InputError(
                f"--set {key} means nothing for imported logits without --protocol (what does: "
                f"{', '.join(_OPEN)}){nearest(key, _OPEN)}"
            )
        section, name = key.split(".")
        table[section][name] = value
    if "ratios" not in table["test"]:
        config = read(Protocol, table, PROTOCOL).test
        table["test"]["ratios"] = [r for r in RATIOS if _is_possible(r, config, available, rank)]
    protocol = read(Protocol, table, PROTOCOL)
    usual = read(Protocol, {**table, "groups": {}}, PROTOCOL).groups
    parts = [
        f"groups.{name}={show(getattr(protocol.groups, name))}"
        for name in ("few_below", "many_above")
        if getattr(protocol.groups, name) != getattr(usual, name)
    ]
    if protocol.test.size != LARGEST:
        parts.append(f"test.size={protocol.test.size}")
    return replace(protocol, variant=";".join(parts))


def _is_possible(ratio: float, config: TestConfig, available: Counts, rank: Counts) -> bool:
    """Whether the forward or the backward set of ``ratio`` has an image of every class."""
    config = replace(config, ratios=(ratio,), partial=False, subsets={}, mixes={})
    try:
        found, _ = plan_test_sets(config, available, rank, {})
    except InputError:
        return False
    return any(test_set.kind in ("forward", "backward") for test_set in found)


def build_trial(name: str, seed: int, outputs: ModelOutputs, task: Task) -> ImportedTrial:
    """The trial behind ``outputs``. Fingerprints: of the protocol's images, or of counts and labels."""
    train = task.splits.train.fingerprint
    if task.protocol.data.source == PROTOCOL:
        train = hashlib.sha256(task.train.counts.astype("<i8").tobytes()).hexdigest()
    return ImportedTrial(
        protocol=task.protocol,
        training=name,
        hyper={},
        version=1,
        digest="",
        recipe=task.protocol.recipe,
        seed=seed,
        precision="float32",
        train_fingerprint=train,
        test_fingerprint=task.splits.test.fingerprint,
        arrays=outputs.digests(),
    )
