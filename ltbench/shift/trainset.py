"""The long-tailed training set of a protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltbench.errors import InputError
from ltbench.protocol.protocol import TrainConfig
from ltbench.shift.profiles import Counts, largest_count, training_rank
from ltbench.shift.sampling import Indices, draw_indices, split_holdout
from ltbench.shift.train_profiles import profile_counts, profile_shares


@dataclass(frozen=True)
class TrainSet:
    """indices: training images; holdout: held-out ones; counts ``(C,)``: of ``indices``, for losses
    and priors; full_counts ``(C,)``: before the hold-out, for groups and ranks."""

    indices: Indices
    holdout: Indices
    counts: Counts
    full_counts: Counts

    @property
    def rank(self) -> Counts:
        """Training rank of each class ``(C,)``, 0 the most frequent."""
        return training_rank(self.full_counts)


def planned_counts(config: TrainConfig, available: Counts) -> Counts:
    """Training images per class ``(C,)``, before any hold-out.

    ``counts``: those listed, by class. ``exponential``, ``step`` and ``pareto`` in label order: n_max is
    ``max_count`` or the mean class size, as published; in order of size: ``max_count`` or the largest
    n_max that every class can follow.
    """
    if config.profile == "all":
        return available.copy()
    if config.profile == "counts":
        _check_number(config, len(available))
        return np.array(config.counts, dtype=np.int64)
    classes = len(available)
    if config.class_order == "label":
        n_max = config.max_count or int(available.sum() / classes)
        return _profile(config, n_max, classes)
    rank = training_rank(available)
    if config.profile == "exponential":
        most = available * config.imbalance ** (rank / max(classes - 1, 1))
    else:
        shares = profile_shares(config.profile, config.imbalance, classes, config.power)
        most = available / shares[rank]

    def profile(n_max: int) -> Counts:
        return _profile(config, n_max, classes)

    return profile(config.max_count or largest_count(most, profile))[rank]


def _profile(config: TrainConfig, n_max: int, classes: int) -> Counts:
    return profile_counts(config.profile, n_max, config.imbalance, classes, config.power)


def _check_number(config: TrainConfig, classes: int) -> None:
    if len(config.counts) != classes:
        raise InputError(
            f"train.counts lists {len(config.counts)} classes, there are {classes}: it needs one "
            "number for each class, in the order of the labels"
        )


def select_training(labels: Indices, classes: int, config: TrainConfig) -> TrainSet:
    """Selects the training images. Raises :class:`InputError` where a class would have none."""
    available = np.bincount(labels, minlength=classes).astype(np.int64)
    counts = planned_counts(config, available)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        raise InputError(
            f"training set: class {empty[0]} would have no image (imbalance {config.imbalance:g}, "
            f"largest class {counts.max()}); lower train.imbalance or raise train.max_count"
        )
    short = np.flatnonzero(available < counts)
    if len(short):
        c = short[0]
        raise InputError(
            f"training set: class {c} has {available[c]} images, the profile asks for {counts[c]}; "
            f"lower train.{'counts' if config.profile == 'counts' else 'max_count'}"
        )
    if config.profile == "all":
        indices = np.arange(len(labels), dtype=np.int64)
    else:
        indices = draw_indices(labels, counts, config.split_seed)
    kept, held = split_holdout(indices, labels, config.holdout_share)
    kept_counts = np.bincount(labels[kept], minlength=classes).astype(np.int64)
    return TrainSet(kept, held, kept_counts, counts)
