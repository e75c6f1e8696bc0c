"""Draws: one sort for all classes gives what one comparison a class gave, bit for bit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from ltbench.errors import InputError
from ltbench.shift.sampling import draw_indices, members_of_classes, split_holdout

Indices = NDArray[np.int64]


def published_draw(labels: Indices, counts: Indices, draw: int) -> Indices:
    rng = np.random.RandomState(draw)
    chosen = []
    for label, count in enumerate(counts):
        members = np.where(labels == label)[0]
        rng.shuffle(members)
        chosen.append(members[:count])
    return np.concatenate(chosen)


def published_split(indices: Indices, labels: Indices, share: float) -> tuple[Indices, Indices]:
    kept, held = [], []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        size = min(max(int(share * len(members)), 1), len(members) - 1)
        kept.append(members[: len(members) - size])
        held.append(members[len(members) - size :])
    return np.concatenate(kept), np.concatenate(held)


@pytest.mark.parametrize("draw", [0, 1, 7])
def test_draws_are_the_published_ones(draw: int) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 23, 900)
    counts = np.bincount(labels, minlength=24) // 3  # class 23 has no image
    before = labels.copy()
    assert np.array_equal(draw_indices(labels, counts, draw), published_draw(labels, counts, draw))
    assert np.array_equal(labels, before)


def test_hold_outs_are_the_ones_of_before() -> None:
    rng = np.random.default_rng(4)
    labels = rng.choice([0, 2, 5, 6, 9], 400)
    indices = rng.permutation(400)[:250]
    for found, expected in zip(
        split_holdout(indices, labels, 0.1), published_split(indices, labels, 0.1), strict=True
    ):
        assert np.array_equal(found, expected)


def test_a_class_of_too_few_images_is_named() -> None:
    with pytest.raises(InputError, match="class 1 has 1 images, 2 were asked for"):
        draw_indices(np.array([0, 0, 1]), np.array([1, 2]), 0)


def test_members_of_thousands_of_classes_come_at_once() -> None:
    labels = np.random.default_rng(5).integers(0, 8142, 400_000)
    began = time.process_time()
    members = members_of_classes(labels, 8142)
    # A comparison a class reads 3.3e9 labels, which takes ten times as long on any machine.
    assert time.process_time() - began < 1.0
    assert sum(map(len, members)) == len(labels)
    assert all((labels[own] == c).all() for c, own in enumerate(members[:50]))
