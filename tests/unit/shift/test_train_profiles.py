"""Training sets by profile: equations against values worked out by hand, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from ltbench.api import load_protocol
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.protocol.protocol import TestConfig, TrainConfig
from ltbench.shift.profiles import exponential_counts
from ltbench.shift.testsets import build_test_sets
from ltbench.shift.train_profiles import profile_counts, profile_shares
from ltbench.shift.trainset import planned_counts, select_training
from ltbench.task import build_task, missing_sets


def test_exponential_is_the_published_one() -> None:
    expected = exponential_counts(500, 100, 100)
    np.testing.assert_array_equal(profile_counts("exponential", 500, 100, 100), expected)


@pytest.mark.parametrize(
    ("n_max", "imbalance", "classes", "expected"),
    [
        (500, 100, 4, [500, 500, 5, 5]),
        (5000, 100, 5, [5000, 5000, 50, 50, 50]),  # the odd class belongs to the tail
        (49, 49, 2, [49, 1]),  # 49 * (1 / 49) is just below 1
        (7, 2, 2, [7, 3]),
    ],
)
def test_step(n_max: int, imbalance: float, classes: int, expected: list[int]) -> None:
    assert profile_counts("step", n_max, imbalance, classes).tolist() == expected


def test_pareto_by_its_equation() -> None:
    n_max, imbalance, classes, power = 100, 50.0, 10, 6.0
    q = [((j + 0.5) / classes) ** (-1 / power) for j in range(classes)]
    expected = [
        int(n_max / imbalance + (n_max - n_max / imbalance) * (x - q[-1]) / (q[0] - q[-1]) + 1e-9)
        for x in q
    ]
    assert profile_counts("pareto", n_max, imbalance, classes, power).tolist() == expected
    assert (expected[0], expected[-1]) == (100, 2)
    large = profile_counts("pareto", 1280, 256, 1000)
    assert (large.sum(), (large > 100).sum(), (large < 20).sum()) == (104_345, 349, 163)


@pytest.mark.parametrize("profile", ["exponential", "step", "pareto"])
def test_profiles_fall_from_one_to_one_over_the_imbalance(profile: str) -> None:
    for power in (0.1, 1, 6, 100):
        shares = profile_shares(profile, 50, 1000, power)
        assert np.isfinite(shares).all()
        assert (np.diff(shares) <= 0).all()
        assert (shares[0], shares[-1]) == pytest.approx((1, 1 / 50))


@pytest.mark.parametrize("profile", ["step", "pareto"])
def test_in_order_of_size_no_class_is_asked_for_more_than_it_has(profile: str) -> None:
    available = np.array([30, 200, 90, 60])
    config = TrainConfig(profile=profile, imbalance=10, class_order="size")
    counts = planned_counts(config, available)
    assert (counts <= available).all()
    assert counts.argmax() == 1
    labels = np.repeat(np.arange(4), available)
    assert select_training(labels, 4, config).full_counts.tolist() == counts.tolist()


def test_counts_are_taken_as_listed() -> None:
    protocol = load_protocol("digits-lt", train={"counts": [3, 9, 2, 2, 2, 2, 2, 2, 2, 5]})
    task = build_task(protocol, open_data(protocol.data))
    assert task.train.counts.tolist() == [3, 9, 2, 2, 2, 2, 2, 2, 2, 5]
    assert task.rank.tolist() == [2, 0, 3, 4, 5, 6, 7, 8, 9, 1]
    with pytest.raises(InputError, match=r"train\.counts lists 2 classes, there are 3"):
        planned_counts(TrainConfig(profile="counts", counts=(1, 1)), np.array([1, 1, 1]))


@pytest.mark.parametrize("subset", [["seven", "two", "four"], [7, 2, 4], "7,2,4"])
def test_a_subset_of_classes_has_labels_in_its_order(subset: object) -> None:
    whole = open_data(load_protocol("digits-lt").data)
    protocol = load_protocol("digits-lt", data={"subset": subset}, train={"imbalance": 4})
    splits = open_data(protocol.data)
    assert splits.train.class_names == ("seven", "two", "four")
    assert protocol.data.used_classes == 3
    task = build_task(protocol, splits)
    assert task.train.counts.tolist() == [100, 50, 25]
    for got, of in ((splits.train, whole.train), (splits.test, whole.test)):
        for label, digit in enumerate((7, 2, 4)):
            np.testing.assert_array_equal(
                got.read(np.flatnonzero(got.labels == label)),
                of.read(np.flatnonzero(of.labels == digit)),
            )
    assert splits.train.fingerprint != whole.train.fingerprint
    with pytest.raises(IndexError):
        splits.train.read([len(splits.train)])


def test_subsets_of_a_subset_are_told_by_its_labels() -> None:
    with pytest.raises(InputError, match="classes go from 0 to 2"):
        load_protocol("digits-lt", data={"subset": [7, 2, 4]}, test={"subsets": {"mine": [3]}})


# -- test sets that were asked for -----------------------------------------------------------------


@pytest.mark.parametrize("asked", [(3,), (0, 3), (2, 3)])
def test_a_subset_without_its_test_images_is_refused(asked: tuple[int, ...]) -> None:
    config = TestConfig(subsets={"mine": asked})
    groups = {"many": [0, 1], "medium": [2], "few": [3]}
    with pytest.raises(
        InputError, match=r"test\.subsets\.mine: no test images of .* \(class .*3\)"
    ):
        build_test_sets(config, np.array([5, 5, 0, 0]), np.arange(4), groups)


def test_groups_and_classes_without_test_images_are_told() -> None:
    protocol = load_protocol("digits-lt")
    task = build_task(protocol, open_data(protocol.data))
    assert missing_sets(task) == []
    from dataclasses import replace

    from ltbench.data.dataset import ArrayDataset

    test = task.splits.test
    chosen = np.flatnonzero(test.labels < 6)
    few = ArrayDataset(test.read(chosen), test.labels[chosen], test.class_names)
    told = missing_sets(build_task(protocol, replace(task.splits, test=few)))
    assert told == [
        "no test images of 4 classes (six, seven, eight, nine): they are in no test set",
        "no test set few-only: its classes have no test images",
    ]
