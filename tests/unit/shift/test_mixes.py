"""Test sets at a stated mix: their counts, what is left out, and classes by name."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import TestConfig
from ltbench.shift.mixes import mix_shares
from ltbench.shift.testset import TestSet
from ltbench.shift.testsets import plan_test_sets
from ltbench.task import build_task, missing_sets

NAMES = ("benign", "malignant", "other")


def planned(available: list[int], **config: Any) -> tuple[dict[str, TestSet], dict[str, str]]:
    counts = np.array(available, dtype=np.int64)
    test = TestConfig(partial=False, **config)
    sets, left_out = plan_test_sets(test, counts, np.arange(len(counts)), {}, NAMES)
    return {s.name: s for s in sets}, left_out


def mixed(**shares: float) -> dict[str, dict[str, float]]:
    return {"clinic": shares}


@pytest.mark.parametrize(
    ("available", "shares", "expected"),
    [
        ([100, 100, 100], {"benign": 0.95, "malignant": 0.05}, [100, 5, 0]),
        ([1000, 50, 7], {"benign": 0.95, "malignant": 0.05}, [950, 50, 0]),
        ([1000, 50, 7], {"benign": 19, "malignant": 1}, [950, 50, 0]),
        ([40, 400, 0], {"benign": 2, "malignant": 1}, [40, 20, 0]),
        ([10, 10, 10], {"benign": 1, "malignant": 0, "other": 1}, [10, 0, 10]),
        ([30, 30, 30], {"other": 1}, [0, 0, 30]),
        ([40, 40, 40], {"benign": 20, "malignant": 1.3, "other": 1.2}, [40, 3, 2]),  # 2.6, 2.4
    ],
)
def test_as_many_images_as_the_classes_allow(
    available: list[int], shares: dict[str, float], expected: list[int]
) -> None:
    found, left_out = planned(available, mixes=mixed(**shares))
    assert left_out == {}
    clinic = found["clinic"]
    assert clinic.counts.tolist() == expected
    assert (clinic.kind, clinic.ratio, clinic.draws) == ("mix", None, 10)
    total = sum(Fraction(str(share)) for share in shares.values())
    exact = [float(Fraction(str(shares.get(name, 0))) / total) for name in NAMES]
    assert clinic.definition()["shares"] == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("size", ["smallest-class", "largest"])
def test_max_count_caps_and_the_size_rule_says_nothing(size: str) -> None:
    shares = mixed(benign=0.9, malignant=0.1)
    assert planned([90, 90, 5], mixes=shares, size=size)[0]["clinic"].counts.tolist() == [90, 10, 0]
    found = planned([90, 90, 90], mixes=shares, size=size, max_count=50)[0]
    assert found["clinic"].counts.tolist() == [50, 6, 0]  # 5.6


def test_what_the_images_do_not_allow_is_left_out_and_the_rest_stands() -> None:
    mixes = {
        "gone": {"benign": 0.9, "other": 0.1},
        "thin": {"benign": 999.0, "malignant": 1.0},
        "fine": {"benign": 0.5, "malignant": 0.5},
    }
    found, left_out = planned([100, 100, 0], mixes=mixes, ratios=(2,))
    assert list(found) == ["forward2", "uniform", "backward2", "fine"]
    assert "without test images: class 2 ('other')" in left_out["gone"]
    assert "class 0 ('benign') has 100 test images" in left_out["thin"]
    assert "class 1 ('malignant') 0.1 of an image" in left_out["thin"]


def test_images_of_a_draw_are_those_of_the_mix() -> None:
    clinic = planned([20, 20, 20], mixes=mixed(benign=0.75, malignant=0.25))[0]["clinic"]
    labels = np.repeat(np.arange(3), 20)
    draws = [clinic.indices(labels, draw) for draw in range(2)]
    for chosen in draws:
        assert np.bincount(labels[chosen], minlength=3).tolist() == clinic.counts.tolist()
        assert len(set(chosen.tolist())) == len(chosen)
    assert set(draws[0].tolist()) != set(draws[1].tolist())


def test_classes_are_names_or_all_numbers() -> None:
    assert mix_shares({"malignant": 3, "benign": 1}, NAMES, "m").tolist() == [0.25, 0.75, 0]
    assert mix_shares({"2": 3, "0": 1}, NAMES, "m").tolist() == [0.25, 0, 0.75]
    assert mix_shares({"2": 1, "7": 1}, ("7", "2", "0"), "m").tolist() == [0.5, 0.5, 0]
    for weights, expected in (
        ({"benin": 1}, r"m: no class is called 'benin'; did you mean 'benign'\?"),
        ({"benign": 1, "1": 1}, r"m: no class is called '1' beside names"),
        ({"0": 1, "3": 1}, r"m: class 3 is none of 0 to 2"),
    ):
        with pytest.raises(InputError, match=expected):
            mix_shares(weights, NAMES, "m")


def test_subsets_by_name() -> None:
    found, _ = planned([5, 6, 7], subsets={"two": ("other", "benign")})
    assert found["two"].pool is not None
    assert found["two"].pool.tolist() == [5, 0, 7]
    assert planned([5, 5, 5], subsets={"two": (2, 0)})[0]["two"].counts.tolist() == [5, 0, 5]
    with pytest.raises(InputError, match=r"test\.subsets\.two: no class is called 'othr'"):
        planned([5, 6, 7], subsets={"two": ("othr", "benign")})
    with pytest.raises(InputError, match=r"test\.subsets\.two: no test images of 1 of its 2"):
        planned([5, 6, 0], subsets={"two": ("other", "benign")})


def test_before_a_run_it_is_told_which_classes_a_mix_does_not_name() -> None:
    protocol = load_protocol_config(
        "digits-lt",
        {"test.mixes.x": {"zero": 1, "one": 1}, "test.subsets.even": "zero,two,four"},
    )
    task = build_task(protocol, open_data(protocol.data))
    (note,) = missing_sets(task)
    assert note == "mix x: share 0 for 8 classes of 10 (two, three, four, five, six, ...)"
    kinds = {s.name: (s.kind, s.counts.tolist()) for s in task.test_sets}
    assert kinds["x"] == ("mix", [60, 60, *[0] * 8])
    assert kinds["even"] == ("partial", [60, 0, 60, 0, 60, *[0] * 5])
