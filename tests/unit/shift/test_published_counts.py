"""Numbers of the official lists of ImageNet-LT, Places-LT and iNaturalist 2018, by ltbench's own rules.

Read in the lists that the code of SADE ships (commit cba11b8): images of each shifted set, and of its
many-, medium- and few-shot classes. Which training images a class has is known for the groups only, so
counts with groups of those sizes stand for it; the sizes of shifted sets depend on ranks alone.
"""

from __future__ import annotations

import numpy as np
import pytest

from ltbench.protocol.protocol import GroupsConfig, TestConfig
from ltbench.shift.groups import class_groups
from ltbench.shift.profiles import Counts, exponential_counts, training_rank
from ltbench.shift.testsets import TestSet, build_test_sets

RATIOS = (2, 5, 10, 25, 50)
SETS = {
    "imagenet-lt": {
        "images": 50,
        "groups": (385, 479, 136),
        "largest": 1280,
        "smallest": 5,
        "sums": (35_574, 24_365, 19_059, 14_437, 12_058),
        "forward50": (9_769, 2_153, 136),
        "backward50": (726, 6_118, 5_214),
    },
    "places-lt": {
        "images": 100,
        "groups": (131, 163, 71),
        "largest": 4980,
        "smallest": 5,
        "sums": (26_155, 17_970, 14_103, 10_727, 8_989),
        "forward50": (6_999, 1_809, 181),
        "backward50": (510, 3_524, 4_955),
    },
}


def counts_with_groups(many: int, medium: int, few: int, largest: int, smallest: int) -> Counts:
    """Training counts of all classes, in an order of no meaning; both ends of medium are there."""
    parts = (
        np.geomspace(largest, 101, many),
        np.linspace(100, 20, medium),
        np.linspace(19, smallest, few),
    )
    counts = np.concatenate(parts).round().astype(np.int64)
    return np.random.RandomState(0).permutation(counts)


@pytest.mark.parametrize("name", SETS)
def test_shifted_sets_of_the_official_lists(name: str) -> None:
    of = SETS[name]
    train = counts_with_groups(*of["groups"], of["largest"], of["smallest"])  # type: ignore[misc]
    groups = class_groups(train, GroupsConfig())
    assert tuple(map(len, groups.values())) == of["groups"]
    available = np.full(len(train), of["images"])
    config = TestConfig(ratios=RATIOS, draws=1, partial=False)
    sets = {s.name: s for s in build_test_sets(config, available, training_rank(train), groups)}
    for ratio, total in zip(RATIOS, of["sums"], strict=True):  # type: ignore[call-overload]
        assert sets[f"forward{ratio}"].counts.sum() == total
        assert sets[f"backward{ratio}"].counts.sum() == total
    for shifted in ("forward50", "backward50"):
        assert by_group(sets[shifted], groups) == of[shifted]
    if name == "imagenet-lt":  # "every few-shot class has exactly 1"
        assert set(sets["forward50"].counts[groups["few"]]) == {1}


def by_group(test_set: TestSet, groups: dict[str, list[int]]) -> tuple[int, ...]:
    return tuple(int(test_set.counts[members].sum()) for members in groups.values())


def test_three_images_a_class_at_a_ratio_of_two() -> None:
    """One class with 3, all others with 2 or 1: what is called IR 2 is 2:1 nearly everywhere."""
    counts = exponential_counts(3, 2, 8142)
    assert np.bincount(counts).tolist() == [0, 3_379, 4_762, 1]
    assert counts.sum() == 12_906


def test_at_a_ratio_of_three_no_class_is_left_without_an_image() -> None:
    """1/3 exactly; the published factors 0.3333 and 0.333 leave 1 and 8 classes none."""
    assert exponential_counts(3, 3, 8142).sum() == 11_148
    assert exponential_counts(3, 3, 8142).min() == 1
    for factor, total, empty in ((0.3333, 11_147, 1), (0.333, 11_137, 8)):
        published = np.array([int(3 * factor ** (r / 8141)) for r in range(8142)])
        assert published.sum() == total
        assert (published == 0).sum() == empty
