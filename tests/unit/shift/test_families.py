"""Dirichlet-drawn and permuted test sets: counts, names, draws, and that they are off by default."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DirichletConfig, PermutedConfig, TestConfig
from ltbench.shift.families import class_permutation, dirichlet_counts, family_sets
from ltbench.shift.profiles import exponential_counts
from ltbench.shift.testsets import build_test_sets

AVAILABLE = np.full(6, 40, dtype=np.int64)
RANK = np.array([3, 0, 5, 1, 4, 2])


def sets(**test: Any) -> dict[str, Any]:
    config = TestConfig(draws=2, **test)
    return {s.name: s for s in family_sets(config, AVAILABLE, RANK)}


def test_no_family_unless_a_protocol_lists_one() -> None:
    assert sets() == {}
    names = [s.name for s in build_test_sets(TestConfig(ratios=(2.0,)), AVAILABLE, RANK, {})]
    assert names == ["forward2", "uniform", "backward2"]


def test_dirichlet_counts_are_proportional_to_a_drawn_prior() -> None:
    prior = np.random.RandomState([1, 7, 2]).dirichlet(np.full(50, 0.5))
    expected = [int(90 * (p / prior.max())) for p in prior]
    found = dirichlet_counts(90, 0.5, 50, seed=7, k=2)
    assert found.max() == 90
    assert found.tolist() == expected
    assert not np.array_equal(found, dirichlet_counts(90, 0.5, 50, seed=7, k=1))
    assert not np.array_equal(found, dirichlet_counts(90, 0.5, 50, seed=8, k=2))


def test_concentration_decides_how_skewed_the_priors_are() -> None:
    totals = [
        np.mean([dirichlet_counts(100, a, 20, seed=0, k=k).sum() for k in range(50)])
        for a in (0.05, 1.0, 1000.0)
    ]
    assert totals[0] < 300 < totals[1] < 1000 < 1700 < totals[2] <= 2000


@pytest.mark.parametrize("classes", [2, 100])
def test_the_smallest_concentration_gives_no_nan(classes: int) -> None:
    for k in range(200):
        counts = dirichlet_counts(10, 0.05, classes, seed=0, k=k)
        assert counts.max() == 10
        assert counts.min() >= 0


def test_permuted_sets_are_the_long_tail_in_another_order() -> None:
    found = sets(permuted=PermutedConfig(ratios=(8.0, 4.0), number=5))
    assert list(found) == [f"permuted{r}-{k}" for r in (4, 8) for k in range(5)]
    profile = exponential_counts(40, 8.0, 6)
    orders = set()
    for k in range(5):
        counts = found[f"permuted8-{k}"].counts
        assert sorted(counts, reverse=True) == profile.tolist()
        along_rank = counts[np.argsort(RANK)].tolist()
        assert along_rank not in (profile.tolist(), profile.tolist()[::-1])
        assert along_rank == profile[class_permutation(6, 0, k)].tolist()
        orders.add(tuple(along_rank))
        other = found[f"permuted4-{k}"].counts  # the order does not depend on the ratio
        assert (
            np.argsort(-other, kind="stable").tolist()
            == np.argsort(-counts, kind="stable").tolist()
        )
    assert len(orders) > 1


def test_three_classes_never_give_forward_or_backward() -> None:
    found = {tuple(class_permutation(3, 0, k).tolist()) for k in range(100)}
    assert found == {(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)}


def test_more_of_a_family_leave_the_first_ones_as_they_are() -> None:
    few = sets(dirichlet=DirichletConfig((1.0,), number=2), permuted=PermutedConfig((4.0,), 2))
    many = sets(
        dirichlet=DirichletConfig((0.3, 1.0), number=4), permuted=PermutedConfig((2.0, 4.0), 4)
    )
    assert set(few) < set(many)
    for name, test_set in few.items():
        assert test_set.definition() == many[name].definition()


def test_definitions_tell_what_was_drawn() -> None:
    found = sets(dirichlet=DirichletConfig((0.3,), 1, seed=5), permuted=PermutedConfig((4.0,), 1))
    first = found["dirichlet0.3-0"].definition()
    assert first == {
        "kind": "dirichlet",
        "ratio": None,
        "concentration": 0.3,
        "seed": 5,
        "number": 0,
        "counts": dirichlet_counts(40, 0.3, 6, 5, 0).tolist(),
    }
    second = found["permuted4-0"].definition()
    assert (second["kind"], second["ratio"], second["seed"]) == ("permuted", 4.0, 0)


def test_draws_are_the_official_selection() -> None:
    test_set = sets(permuted=PermutedConfig((4.0,), 1))["permuted4-0"]
    labels = np.repeat(np.arange(6), 40)
    for draw in range(2):
        rng = np.random.RandomState(draw)
        expected = []
        for c in range(6):
            members = np.where(labels == c)[0]
            rng.shuffle(members)
            expected += members[: test_set.counts[c]].tolist()
        assert test_set.indices(labels, draw).tolist() == expected


def test_a_class_without_test_images_is_left_out() -> None:
    available = AVAILABLE.copy()
    available[2] = 0
    config = TestConfig(dirichlet=DirichletConfig((1.0,)), permuted=PermutedConfig((4.0,)), draws=1)
    for test_set in family_sets(config, available, RANK):
        assert test_set.counts[2] == 0
        assert test_set.counts.max() == 40


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            {"permuted": PermutedConfig((50.0,))},
            r"permuted.ratios: at 50 .* a ratio may go up to 40",
        ),
        ({"permuted": PermutedConfig((4.0,)), "max_count": 50}, "class 0 has 40 test images"),
        ({"dirichlet": DirichletConfig((1.0,)), "max_count": 50}, "lower test.max_count"),
    ],
)
def test_what_the_images_do_not_allow_is_refused(test: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        sets(**test)
    assert "\n" not in str(caught.value)


def test_two_classes_have_no_order_of_their_own() -> None:
    config = TestConfig(permuted=PermutedConfig((4.0,)))
    with pytest.raises(InputError, match="at least three classes"):
        family_sets(config, AVAILABLE[:2], RANK[:2])


def test_settings_by_override_name_a_variant_only_where_names_do_not_tell() -> None:
    plain = load_protocol_config(
        "digits-lt", ["test.dirichlet.concentrations=1,0.5", "test.permuted.number=7"]
    )
    assert plain.variant == ""
    assert plain.test.dirichlet.concentrations == (1.0, 0.5)
    seeded = load_protocol_config("digits-lt", ["test.permuted.seed=3"])
    assert seeded.variant == "test.permuted.seed=3"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("test.dirichlet.concentrations=0", "must be at least 0.05"),
        ("test.dirichlet.concentrations=1,1", "must differ"),
        ("test.permuted.ratios=1", "must be greater than 1"),
        ("test.permuted.ratio=5", "did you mean 'ratios'"),
        ("test.dirichlet=1", "is a table|must be a table"),
    ],
)
def test_wrong_settings_are_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_protocol_config("digits-lt", [override])
    assert "\n" not in str(caught.value)
