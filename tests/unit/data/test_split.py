"""A drawn test set: stratified, with what belongs together on one side."""

from __future__ import annotations

from collections import Counter

import pytest

from ltbench.data.class_order import ordered_classes
from ltbench.data.split import SplitRule, joined, split_files
from ltbench.errors import DataError

LABELS = ["a"] * 100 + ["b"] * 40 + ["c"] * 8


def counts(labels: list[str], test: list[bool]) -> Counter[str]:
    return Counter(label for label, one in zip(labels, test, strict=True) if one)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_each_class_gives_its_share_and_no_fewer_than_the_least(share: float) -> None:
    found = counts(LABELS, split_files(LABELS, [], SplitRule(share, 5, 0)))
    for name, total in Counter(LABELS).items():
        assert found[name] == min(total - 1, max(5, round(share * total)))


def test_a_seed_is_a_draw() -> None:
    one = split_files(LABELS, [], SplitRule(0.2, 5, 0))
    assert one == split_files(LABELS, [], SplitRule(0.2, 5, 0))
    assert one != split_files(LABELS, [], SplitRule(0.2, 5, 1))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_bound_stays_on_one_side(seed: int) -> None:
    """Also over two classes, and where two ties overlap."""
    bound = [list(range(start, start + 7)) for start in range(0, 98, 7)]
    bound += [[3, 110], [110, 141], [120, 121], [121, 142]]
    test = split_files(LABELS, bound, SplitRule(0.25, 2, seed))
    for places in bound:
        assert len({test[place] for place in places}) == 1
    found = counts(LABELS, test)
    assert 2 <= found["c"] <= 7
    assert 18 <= found["a"] <= 25
    assert found["b"] == 10


def test_too_small_a_class_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'c' has 8 images, too few for 8 test images"):
        split_files(LABELS, [], SplitRule(0.2, 8, 0))
    assert counts(LABELS, split_files(LABELS, [], SplitRule(0.2, 7, 0)))["c"] == 7


def test_a_class_in_one_piece_is_named() -> None:
    with pytest.raises(DataError, match=r"class 'c' cannot have 5 test images .* belong together"):
        split_files(LABELS, [list(range(140, 148))], SplitRule(0.2, 5, 0))


def test_a_piece_larger_than_the_share_is_taken_where_nothing_else_is_there() -> None:
    labels = ["a"] * 30
    test = split_files(labels, [list(range(15)), list(range(15, 30))], SplitRule(0.1, 2, 0))
    assert sum(test) == 15


def test_pieces() -> None:
    assert joined(6, [[5, 4], [0, 1], [1, 4]]) == [[0, 1, 4, 5], [2], [3]]


def test_whole_numbers_go_by_value() -> None:
    assert ordered_classes(["10", "2", "1", "2"]) == ("1", "2", "10")
    assert ordered_classes(["10", "2", "x"]) == ("10", "2", "x")
