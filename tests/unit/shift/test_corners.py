"""Rare branches of the test sets: what is said and counted there, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ltbench.errors import InputError
from ltbench.protocol.protocol import PermutedConfig, TestConfig
from ltbench.shift.sizes import is_balanced
from ltbench.shift.testset import TestSet
from ltbench.shift.testsets import plan_test_sets
from ltbench.trial.class_values import LISTED_CLASSES


def planned(available: list[int], **test: object) -> tuple[dict[str, TestSet], dict[str, str]]:
    config = TestConfig(**{"draws": 2, "partial": False, **test})  # type: ignore[arg-type]
    found, left = plan_test_sets(config, np.array(available), np.arange(len(available)), {})
    return {test_set.name: test_set for test_set in found}, left


def test_a_ratio_is_named_only_where_the_head_is_what_limits_it() -> None:
    _, left = planned([1000, 3, 9], ratios=(100.0,), size="largest")
    told = "class 1 has 3 test images, so the largest class would have 30 and class 2 none"
    assert left["forward100"] == told


def test_what_max_count_leaves_without_an_image_names_it_and_the_largest_ratio() -> None:
    _, left = planned([900, 900, 900], ratios=(50.0,), size="largest", max_count=20)
    told = "test.max_count = 20 leaves class {} no image; a ratio may go up to 20"
    assert left == {"forward50": told.format(2), "backward50": told.format(0)}


def test_the_other_rule_of_size_is_named_where_it_would_help() -> None:
    with pytest.raises(InputError) as caught:
        planned([100, 5], ratios=(50.0,))
    assert str(caught.value).endswith('; test.size = "largest" takes what the classes allow')
    for available, settings in (([5, 5], {}), ([100, 5], {"max_count": 4})):
        with pytest.raises(InputError) as caught:
            planned(available, ratios=(50.0,), **settings)
        assert "takes what the classes allow" not in str(caught.value)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 3, 3], True), ([3, 0, 3], True), ([3, 4, 3], False), ([4, 3, 3], False), ([0], True)],
)
def test_balanced_is_equal_over_those_that_are_there(counts: list[int], expected: bool) -> None:
    assert is_balanced(np.array(counts)) is expected


def test_a_uniform_set_has_none_of_the_class_that_is_not_there() -> None:
    found, _ = planned([9, 0, 1, 4], ratios=())
    assert found["uniform"].counts.tolist() == [1, 0, 1, 1]


def test_a_mix_may_hold_a_single_image_of_a_class() -> None:
    mixes = {"clinic": {"0": 99.0, "1": 1.0}}
    found, left = planned([100, 100, 100], ratios=(), mixes=mixes)
    assert not left
    assert found["clinic"].counts.tolist() == [100, 1, 0]


@pytest.mark.parametrize("more", [0, 1])
def test_counts_are_listed_up_to_the_limit_and_told_by_a_digest_beyond(more: int) -> None:
    classes = LISTED_CLASSES + more
    counts = np.full(classes, 2)
    found = TestSet("uniform", "uniform", None, counts, 1, pool=counts + 1)
    if more:
        definition = found.definition()
        assert (definition["classes"], definition["images"]) == (classes, 2 * classes)
        assert {"counts_sha256", "as_found_sha256"} < set(definition)
        assert found.lists() == {"counts": [2] * classes, "as_found": [3] * classes}
    else:
        assert found.definition()["counts"] == [2] * classes
        assert found.lists() == {}


@pytest.mark.parametrize(("missing", "more"), [(2, ""), (5, ""), (6, ", ...")])
def test_of_many_missing_classes_five_are_named(missing: int, more: str) -> None:
    asked = tuple(range(missing + 1))
    named = ", ".join(f"class {c}" for c in range(min(missing, 5)))
    told = f"no test images of {missing} of its {missing + 1} classes ({named}{more}); leave"
    with pytest.raises(InputError) as caught:
        planned([0] * missing + [7] * 3, ratios=(), subsets={"some": asked})
    assert told in str(caught.value)
    _, left = planned([0] * missing + [7] * 3, ratios=(), mixes={"m": {str(c): 1.0 for c in asked}})
    assert left["m"] == f"it gives a share to classes without test images: {named}{more}"


def test_three_classes_have_orders_besides_forward_and_backward_two_have_none() -> None:
    permuted = PermutedConfig(ratios=(4.0,), number=2)
    found, _ = planned([16, 16, 16], ratios=(), permuted=permuted)
    assert sorted(found) == ["permuted4-0", "permuted4-1", "uniform"]
    with pytest.raises(InputError, match="at least three classes"):
        planned([16, 16], ratios=(), permuted=permuted)


def test_of_several_classes_that_lack_images_the_first_is_named() -> None:
    with pytest.raises(InputError, match=r"class 1 has 9 test images, 19 are asked for"):
        planned([20, 9, 8], ratios=(1.05,), max_count=20)
