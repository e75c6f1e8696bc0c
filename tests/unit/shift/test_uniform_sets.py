"""Uniform test sets where the classes of the test images differ in size."""

from __future__ import annotations

import numpy as np
import pytest

from ltbench.protocol.protocol import TestConfig
from ltbench.shift.testsets import TestSet, build_test_sets

RANK = np.arange(5)
GROUPS = {"many": [0, 1], "medium": [2], "few": [3, 4]}


def sets(available: list[int], **test: object) -> dict[str, TestSet]:
    config = TestConfig(**{"draws": 3, **test})  # type: ignore[arg-type]
    found = build_test_sets(config, np.array(available), RANK, GROUPS)
    return {test_set.name: test_set for test_set in found}


def test_equal_classes_are_taken_as_they_are() -> None:
    found = sets([7, 7, 7, 7, 7])
    assert "natural" not in found
    assert found["uniform"].draws == 1
    assert found["uniform"].definition() == {"kind": "uniform", "ratio": None, "counts": [7] * 5}
    labels = np.tile(np.arange(5), 7)
    assert found["uniform"].indices(labels, 0).tolist() == list(range(35))


def test_unequal_ones_are_drawn_and_the_set_as_found_has_its_own_name() -> None:
    available = [20, 9, 0, 6, 6]
    found = sets(available, ratios=(2.0,))
    uniform, natural = found["uniform"], found["natural"]
    assert uniform.definition() == {
        "kind": "uniform",
        "ratio": None,
        "as_found": available,
        "counts": [6, 6, 0, 6, 6],  # the class without a test image stays out
    }
    assert uniform.draws == 3
    assert (natural.kind, natural.counts.tolist(), natural.draws) == ("natural", available, 1)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), available))
    for draw in range(3):
        chosen = uniform.indices(labels, draw)
        assert np.bincount(labels[chosen], minlength=5).tolist() == [6, 6, 0, 6, 6]
        forward = found["forward2"].indices(labels, draw)
        assert set(forward) <= set(chosen)  # nested, as all sets of one draw
    assert uniform.indices(labels, 0).tolist() != uniform.indices(labels, 1).tolist()
    assert natural.indices(labels, 0).tolist() == list(range(len(labels)))
    order = list(found)
    assert order.index("forward2") < order.index("uniform") < order.index("backward2")


def test_partial_sets_are_uniform_over_their_own_classes() -> None:
    found = sets([20, 9, 0, 6, 6], subsets={"ends": (0, 4)})
    assert found["many-only"].counts.tolist() == [9, 9, 0, 0, 0]
    assert found["many-only"].definition()["as_found"] == [20, 9, 0, 0, 0]
    assert found["few-only"].definition() == {
        "kind": "partial",
        "ratio": None,
        "counts": [0, 0, 0, 6, 6],
    }
    assert found["ends"].counts.tolist() == [6, 0, 0, 0, 6]
    assert "medium-only" not in found


@pytest.mark.parametrize("name", ["natural", "uniform"])
def test_no_subset_takes_the_name(name: str) -> None:
    from ltbench.errors import InputError
    from ltbench.protocol.file import load_protocol_config

    with pytest.raises(InputError, match="taken by a standard test set"):
        load_protocol_config("digits-lt", {f"test.subsets.{name}": [0, 1]})
