"""Counts, selections and groups against the published code's rules, transcribed slowly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltbench.errors import InputError
from ltbench.protocol.protocol import GroupsConfig, TestConfig, TrainConfig
from ltbench.shift.groups import class_groups
from ltbench.shift.profiles import exponential_counts, prior, training_rank
from ltbench.shift.sampling import draw_indices, split_holdout
from ltbench.shift.testsets import TestSet, build_test_sets
from ltbench.shift.trainset import planned_counts, select_training

Ints = np.ndarray[Any, np.dtype[np.int64]]


@contextmanager
def global_numpy_state() -> Iterator[None]:
    saved = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(saved)


def official_selection(labels: Ints, counts: list[int], seed: int) -> list[int]:
    """Seeds the global generator; per class finds its images, shuffles them, takes the first n."""
    chosen: list[int] = []
    with global_numpy_state():
        np.random.seed(seed)
        for c, n in enumerate(counts):
            found = [i for i, label in enumerate(labels.tolist()) if label == c]
            members = np.array(found, dtype=np.int64)
            np.random.shuffle(members)
            chosen += members.tolist()[:n]
    return chosen


def official_counts(
    total: int, classes: int, imbalance: float, backward: bool = False
) -> list[int]:
    largest, factor = total / classes, 1 / imbalance
    result = []
    for c in range(classes):
        place = classes - 1 - c if backward else c
        result.append(int(largest * (factor ** (place / (classes - 1.0)))))
    return result


def shuffled_labels(sizes: list[int], seed: int) -> Ints:
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
    return np.random.default_rng(seed).permutation(labels)


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**changes)


# -- selection -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 25), min_size=1, max_size=8),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    draw=st.integers(0, 2**32 - 1),
)
def test_draws_equal_the_official_selection(
    sizes: list[int], share: float, seed: int, draw: int
) -> None:
    labels = shuffled_labels(sizes, seed)
    counts = [int(size * share) for size in sizes]
    chosen = draw_indices(labels, np.array(counts, dtype=np.int64), draw)
    assert chosen.tolist() == official_selection(labels, counts, draw)


def test_cifar_shaped_selection_equals_the_official_one() -> None:
    labels = shuffled_labels([500] * 100, seed=1)
    counts = official_counts(50_000, 100, 100)
    assert draw_indices(labels, np.array(counts), 0).tolist() == official_selection(
        labels, counts, 0
    )


def test_the_global_generator_is_not_touched() -> None:
    before = np.random.get_state(legacy=False)
    labels = shuffled_labels([30, 20, 10], seed=0)
    draw_indices(labels, np.array([3, 2, 1]), 0)
    select_training(labels, 3, config(imbalance=3, max_count=9, holdout=0.2))
    after = np.random.get_state(legacy=False)
    np.testing.assert_equal(after, before)


def test_draws_differ_and_repeat() -> None:
    labels, counts = shuffled_labels([50, 50], seed=0), np.array([20, 20])
    first, again, other = (draw_indices(labels, counts, draw).tolist() for draw in (0, 0, 1))
    assert first == again
    assert first != other


def test_sets_of_one_draw_are_nested_prefixes() -> None:
    labels = shuffled_labels([100] * 10, seed=3)
    sets = [
        set(draw_indices(labels, exponential_counts(100, ratio, 10), 4).tolist())
        for ratio in (50, 25, 10, 5, 2, 1)
    ]
    for smaller, larger in itertools.pairwise(sets):
        assert smaller < larger


def test_backward_and_forward_of_one_draw_prefer_the_same_images() -> None:
    labels = shuffled_labels([40] * 5, seed=3)
    counts = exponential_counts(40, 8, 5)
    forward = draw_indices(labels, counts, 0)
    backward = draw_indices(labels, counts[::-1], 0)
    for c in range(5):
        one, other = forward[labels[forward] == c], backward[labels[backward] == c]
        shared = min(len(one), len(other))
        assert one[:shared].tolist() == other[:shared].tolist()


def test_a_class_without_images_consumes_nothing_and_gives_nothing() -> None:
    labels = np.array([0, 2, 2, 0, 2], dtype=np.int64)
    chosen = draw_indices(labels, np.array([1, 0, 2]), 0)
    assert chosen.tolist() == official_selection(labels, [1, 0, 2], 0)
    assert np.bincount(labels[chosen], minlength=3).tolist() == [1, 0, 2]


def test_asking_for_more_than_there_is_names_the_class() -> None:
    with pytest.raises(InputError, match="class 1 has 2 images, 3 were asked for"):
        draw_indices(np.array([0, 1, 1]), np.array([1, 3]), 0)


# -- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("imbalance", "total", "smallest", "sizes"),
    [
        (10, 19573, 50, (69, 31, 0)),
        (20, 15907, 25, (53, 47, 0)),
        (50, 12608, 10, (41, 41, 18)),
        (100, 10847, 5, (35, 35, 30)),
        (200, 9502, 2, (30, 31, 39)),
    ],
)
def test_cifar100_counts(
    imbalance: int, total: int, smallest: int, sizes: tuple[int, int, int]
) -> None:
    counts = planned_counts(config(imbalance=imbalance, max_count=500), np.full(100, 500))
    assert counts.tolist() == official_counts(50_000, 100, imbalance)
    assert (counts.sum(), counts.min(), counts.max()) == (total, smallest, 500)
    groups = class_groups(counts, GroupsConfig())
    assert tuple(len(groups[name]) for name in ("many", "medium", "few")) == sizes


@pytest.mark.parametrize(
    ("imbalance", "total", "smallest", "sizes"),
    [(10, 20431, 500, (10, 0, 0)), (50, 13996, 100, (9, 1, 0)), (100, 12406, 50, (8, 2, 0))],
)
def test_cifar10_counts(
    imbalance: int, total: int, smallest: int, sizes: tuple[int, int, int]
) -> None:
    counts = planned_counts(config(imbalance=imbalance), np.full(10, 5000))
    assert (counts.sum(), counts.min(), counts.max()) == (total, smallest, 5000)
    groups = class_groups(counts, GroupsConfig())
    assert tuple(len(groups[name]) for name in ("many", "medium", "few")) == sizes


def test_groups_at_imbalance_100_are_the_first_35_the_next_35_and_the_last_30() -> None:
    groups = class_groups(exponential_counts(500, 100, 100), GroupsConfig())
    assert groups["many"] == list(range(35))
    assert groups["medium"] == list(range(35, 70))
    assert groups["few"] == list(range(70, 100))


def test_both_thresholds_belong_to_medium() -> None:
    groups = class_groups(np.array([101, 100, 20, 19]), GroupsConfig())
    assert groups == {"many": [0], "medium": [1, 2], "few": [3]}


def shifted(config: TestConfig, size: int, classes: int) -> dict[str, TestSet]:
    available, rank = np.full(classes, size, dtype=np.int64), np.arange(classes)
    return {s.name: s for s in build_test_sets(config, available, rank, {})}


@pytest.mark.parametrize(
    ("ratio", "total", "smallest"),
    [(50, 2486, 2), (25, 2956, 4), (10, 3876, 10), (5, 4932, 20), (2, 7166, 50)],
)
def test_cifar100_test_sets(ratio: int, total: int, smallest: int) -> None:
    sets = shifted(TestConfig(ratios=(ratio,), max_count=100), 100, 100)
    forward, backward = sets[f"forward{ratio}"].counts, sets[f"backward{ratio}"].counts
    assert forward.tolist() == official_counts(10_000, 100, ratio)
    assert backward.tolist() == official_counts(10_000, 100, ratio, backward=True)
    assert (forward.sum(), forward.min()) == (total, smallest)
    assert sets["uniform"].counts.sum() == 10_000


@pytest.mark.parametrize(
    ("ratio", "total"), [(50, 2795), (25, 3229), (10, 4084), (5, 5081), (2, 7241)]
)
def test_cifar10_test_sets(ratio: int, total: int) -> None:
    sets = shifted(TestConfig(ratios=(ratio,)), 1000, 10)
    assert sets[f"forward{ratio}"].counts.sum() == sets[f"backward{ratio}"].counts.sum() == total


def test_forward_and_backward_50_by_group() -> None:
    groups = class_groups(exponential_counts(500, 100, 100), GroupsConfig())
    sets = shifted(TestConfig(ratios=(50,)), 100, 100)
    for name, expected in (("forward50", [1919, 468, 99]), ("backward50", [132, 575, 1779])):
        counts = sets[name].counts
        assert [counts[groups[g]].sum() for g in ("many", "medium", "few")] == expected


def test_digits_counts() -> None:
    counts = planned_counts(config(imbalance=50, max_count=100), np.full(10, 114))
    assert counts.tolist() == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert counts.sum() == 276
    groups = class_groups(counts, GroupsConfig(many_above=40, few_below=10))
    assert [len(groups[g]) for g in ("many", "medium", "few")] == [3, 3, 4]


@given(n_max=st.integers(1, 5000), ratio=st.floats(1, 1000), classes=st.integers(1, 60))
def test_profiles_never_rise_and_start_at_the_top(n_max: int, ratio: float, classes: int) -> None:
    counts = exponential_counts(n_max, ratio, classes)
    assert counts[0] == n_max
    assert (np.diff(counts) <= 0).all()
    assert counts[-1] >= int(n_max / ratio) - 1 or classes == 1


def test_one_class_has_the_largest_count() -> None:
    assert exponential_counts(9, 50, 1).tolist() == [9]


def test_rank_breaks_ties_by_class_index() -> None:
    assert training_rank(np.array([5, 9, 5, 9, 1])).tolist() == [2, 0, 3, 1, 4]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80))
def test_rank_is_a_stable_sort(counts: list[int]) -> None:
    rank = training_rank(np.array(counts))
    order = sorted(range(len(counts)), key=lambda c: (-counts[c], c))
    assert np.argsort(rank).tolist() == order


def test_prior_is_the_share_of_the_counts() -> None:
    np.testing.assert_allclose(prior(np.array([1, 3])), [0.25, 0.75])


# -- the training set ----------------------------------------------------------------------------


def test_order_of_size_gives_the_largest_class_the_head() -> None:
    sizes = [10, 100, 40]
    labels = shuffled_labels(sizes, seed=0)
    chosen = select_training(labels, 3, config(imbalance=10, class_order="size"))
    # the largest n_max that n_max, n_max/sqrt(10), n_max/10 fit into 100, 40, 10
    assert chosen.counts.tolist() == [10, 100, 31]
    assert chosen.rank.tolist() == [2, 0, 1]
    assert np.bincount(labels[chosen.indices]).tolist() == [10, 100, 31]


def test_order_of_size_lowers_the_head_until_every_class_can_follow() -> None:
    counts = planned_counts(config(imbalance=4, class_order="size"), np.array([5, 100, 100]))
    assert counts.tolist() == [5, 20, 10]


def test_label_order_uses_the_mean_class_size() -> None:
    counts = planned_counts(config(imbalance=1), np.array([4, 6]))
    assert counts.tolist() == [5, 5]


def test_profile_all_takes_the_images_as_they_are() -> None:
    labels = shuffled_labels([7, 1, 3], seed=0)
    chosen = select_training(labels, 3, config(profile="all"))
    assert chosen.indices.tolist() == list(range(11))
    assert chosen.counts.tolist() == [7, 1, 3]
    assert chosen.holdout.tolist() == []
    for asked in ({"imbalance": 50}, {"max_count": 5}):  # never silently ignored
        with pytest.raises(InputError, match="takes the images as they are"):
            config(profile="all", **asked)


def test_split_seed_chooses_the_subset() -> None:
    labels = shuffled_labels([30, 30], seed=0)
    subsets = [
        select_training(labels, 2, config(imbalance=3, max_count=9, split_seed=s)).indices.tolist()
        for s in (0, 1)
    ]
    assert subsets[0] == official_selection(labels, [9, 3], 0)
    assert subsets[1] == official_selection(labels, [9, 3], 1)
    assert subsets[0] != subsets[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imbalance": 200, "max_count": 100}, "class 1 would have no image"),
        ({"max_count": 31}, "class 0 has 30 images, the profile asks for 31"),
    ],
)
def test_impossible_training_sets_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        select_training(shuffled_labels([30, 40], seed=0), 2, config(**changes))


def test_a_class_without_training_images_is_refused() -> None:
    with pytest.raises(InputError, match="class 1 would have no image"):
        select_training(np.array([0, 0, 2]), 3, config(profile="all"))


# -- hold-out ------------------------------------------------------------------------------------


def slow_holdout(members: list[int], fraction: float) -> tuple[list[int], list[int]]:
    n = len(members)
    size = int(fraction * n)
    if n >= 2 and size == 0:
        size = 1
    if size == n:
        size = n - 1
    return members[: n - size], members[n - size :]


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.5),
    seed=st.integers(0, 99),
)
def test_holdout_takes_the_end_of_each_class(sizes: list[int], fraction: float, seed: int) -> None:
    labels = shuffled_labels(sizes, seed)
    indices = draw_indices(labels, np.array(sizes), seed)
    kept, held = split_holdout(indices, labels, fraction)
    expected_kept, expected_held = [], []
    for c in range(len(sizes)):
        one, other = slow_holdout([i for i in indices.tolist() if labels[i] == c], fraction)
        expected_kept += one
        expected_held += other
    assert kept.tolist() == expected_kept
    assert held.tolist() == expected_held


@pytest.mark.parametrize(("n", "held"), [(1, 0), (2, 1), (9, 1), (10, 1), (19, 1), (20, 2)])
def test_holdout_sizes_at_a_tenth(n: int, held: int) -> None:
    labels = np.zeros(n, dtype=np.int64)
    kept, out = split_holdout(np.arange(n), labels, 0.1)
    assert (len(kept), len(out)) == (n - held, held)


def test_losses_see_the_rest_and_groups_the_whole() -> None:
    labels = shuffled_labels([40] * 3, seed=0)
    chosen = select_training(labels, 3, config(imbalance=20, max_count=40, holdout=0.1))
    assert chosen.full_counts.tolist() == [40, 8, 2]
    assert chosen.counts.tolist() == [36, 7, 1]
    assert np.bincount(labels[chosen.holdout]).tolist() == [4, 1, 1]
    assert not set(chosen.indices) & set(chosen.holdout)


# -- test sets -----------------------------------------------------------------------------------


def test_sets_stand_from_forward_over_uniform_to_backward() -> None:
    names = list(shifted(TestConfig(ratios=(2, 10, 5)), 100, 4))
    assert names == [
        *("forward10", "forward5", "forward2", "uniform", "backward2", "backward5", "backward10"),
    ]


def test_forward_follows_the_training_rank_and_backward_reverses_it() -> None:
    available, rank = np.full(4, 8, dtype=np.int64), np.array([2, 0, 3, 1])
    sets = {s.name: s for s in build_test_sets(TestConfig(ratios=(8,)), available, rank, {})}
    profile = exponential_counts(8, 8, 4)
    assert sets["forward8"].counts.tolist() == profile[rank].tolist()
    assert sets["backward8"].counts.tolist() == profile[3 - rank].tolist()
    assert sets["forward8"].counts[1] == 8
    assert sets["backward8"].counts[2] == 8


def test_uniform_uses_every_image_once_in_its_order() -> None:
    labels = shuffled_labels([5, 5, 5], seed=0)
    uniform = shifted(TestConfig(draws=7), 5, 3)["uniform"]
    assert uniform.draws == 1
    assert uniform.indices(labels, 0).tolist() == list(range(15))


def test_partial_sets_hold_all_images_of_their_classes() -> None:
    labels = shuffled_labels([4, 4, 4], seed=0)
    groups = {"many": [0], "medium": [1, 2], "few": []}
    test = TestConfig(subsets={"ends": (0, 2)}, draws=5)
    sets = {s.name: s for s in build_test_sets(test, np.full(3, 4), np.arange(3), groups)}
    assert "few-only" not in sets  # an empty group: n/a
    for name, classes in (("many-only", [0]), ("medium-only", [1, 2]), ("ends", [0, 2])):
        chosen = sets[name].indices(labels, 0)
        assert chosen.tolist() == [i for i, y in enumerate(labels) if y in classes]
        assert sets[name].draws == 1
    without = build_test_sets(TestConfig(partial=False), np.full(3, 4), np.arange(3), groups)
    assert [s.name for s in without] == ["uniform"]


def test_a_class_without_test_images_is_left_out_of_every_set() -> None:
    available, rank = np.array([6, 0, 6, 6]), np.array([0, 1, 2, 3])
    sets = build_test_sets(TestConfig(ratios=(6,)), available, rank, {"many": [0, 1]})
    labels = np.repeat([0, 2, 3], 6)
    for test_set in sets:
        assert test_set.counts[1] == 0
        assert 1 not in labels[test_set.indices(labels, 0)]
    counts = {s.name: s.counts.tolist() for s in sets}
    assert counts["forward6"] == [6, 0, 2, 1]
    assert counts["backward6"] == [1, 0, 2, 6]
    assert counts["many-only"] == [6, 0, 0, 0]


def test_test_profiles_cap_at_the_smallest_class() -> None:
    sets = build_test_sets(TestConfig(ratios=(2,)), np.array([9, 4, 6]), np.arange(3), {})
    assert sets[0].counts.tolist() == [4, 2, 2]


@pytest.mark.parametrize(
    ("available", "changes", "message"),
    [
        ([10, 10], {"ratios": (11,)}, "test ratio 11: the smallest class would have no image"),
        ([10, 3], {"ratios": (2,), "max_count": 10}, "class 1 has 3 test images, 5 are asked for"),
        ([10, 0], {}, "at least two classes"),
    ],
)
def test_impossible_test_sets_are_refused(
    available: list[int], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_test_sets(TestConfig(**changes), np.array(available), np.arange(2), {})


def test_definitions_tell_sets_of_one_name_apart() -> None:
    definitions = [shifted(TestConfig(ratios=(2,)), n, 4)["forward2"].definition() for n in (8, 9)]
    assert definitions[0] != definitions[1]
    assert definitions[0] == {"kind": "forward", "ratio": 2, "counts": [8, 6, 5, 4]}


def published_exponential(n_max: int, imbalance: float, classes: int) -> list[int]:
    factor = 1.0 / imbalance
    return [int(n_max * (factor ** (j / (classes - 1.0)))) for j in range(classes)]


def test_counts_are_the_published_ones_but_for_a_last_image_lost_to_rounding() -> None:
    """n * (1 / n) is below 1 in floating point for 49, 98, 103, ...: the last class has its image."""
    mended = set()
    for n in range(2, 1201):
        for ratio in (2, 5, 10, 25, 50, 100, n / 2, n - 0.5, n, n + 0.5):
            if ratio <= 1:
                continue
            for classes in (2, 3, 10):
                counts = exponential_counts(n, ratio, classes).tolist()
                expected = published_exponential(n, ratio, classes)
                if counts != expected:
                    assert ratio == n
                    assert expected[-1] == 0
                    assert counts == [*expected[:-1], 1]
                    mended.add(n)
    assert {49, 98, 103, 107} <= mended
    assert all(exponential_counts(n, n, 10).min() == 1 for n in range(2, 1201))
    assert exponential_counts(49, 49.0001, 10).min() == 0


@pytest.mark.parametrize(
    ("n_max", "classes", "ratios"),
    [
        (500, 100, (10, 50, 100)),
        (5000, 10, (10, 50, 100)),
        (100, 100, (2, 5, 10, 25, 50)),
        (1000, 10, (2, 5, 10, 25, 50)),
        (50, 1000, (2, 5, 10, 25, 50)),
        (100, 365, (2, 5, 10, 25, 50)),
        (3, 8142, (2, 3)),
    ],
)
def test_tables_of_the_usual_benchmarks_stay(
    n_max: int, classes: int, ratios: tuple[float, ...]
) -> None:
    for ratio in ratios:
        counts = exponential_counts(n_max, ratio, classes).tolist()
        assert counts == published_exponential(n_max, ratio, classes)


@pytest.mark.parametrize(("sizes", "imbalance"), [([107, 50, 1], 107), ([125, 25, 5, 1], 125)])
def test_the_largest_profile_that_every_class_can_follow_loses_nothing_to_rounding(
    sizes: list[int], imbalance: float
) -> None:
    config = TrainConfig(imbalance=imbalance, class_order="size")
    counts = planned_counts(config, np.array(sizes))
    assert counts.min() == 1
    assert (counts <= np.array(sizes)).all()
