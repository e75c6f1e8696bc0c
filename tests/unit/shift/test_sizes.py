"""Shifted test sets as large as the classes allow, and what is said where they cannot be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ltbench.errors import InputError
from ltbench.protocol.protocol import DirichletConfig, PermutedConfig, TestConfig
from ltbench.settings import identity_of
from ltbench.shift.testsets import TestSet, plan_test_sets


def planned(
    available: list[int], names: tuple[str, ...] = (), **test: object
) -> tuple[dict[str, TestSet], dict[str, str]]:
    config = TestConfig(**{"draws": 2, "partial": False, **test})  # type: ignore[arg-type]
    found, left = plan_test_sets(config, np.array(available), np.arange(len(available)), {}, names)
    return {test_set.name: test_set for test_set in found}, left


@pytest.mark.parametrize("available", [[1000, 5], [2000, 7], [490, 10], [3, 3], [147, 3]])
def test_the_mix_that_is_there_is_met_to_the_last_image(available: list[int]) -> None:
    ratio = available[0] / available[1]
    if ratio == 1:
        ratio = 2.0
        expected = [3, 1]
    else:
        expected = available
    found, _ = planned(available, ratios=(ratio,), size="largest")
    forward = next(s for s in found.values() if s.kind == "forward")
    assert forward.counts.tolist() == expected


def test_no_larger_set_of_those_shares_exists() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        available = rng.integers(1, 400, size=6)
        ratio = float(rng.uniform(1.1, 30))
        found, left = planned(available.tolist(), ratios=(ratio,), size="largest")
        shares = ratio ** (-np.arange(6) / 5)
        for kind, own in (("forward", shares), ("backward", shares[::-1])):
            n = max(k for k in range(401) if (k * own <= available * (1 + 1e-9)).all())
            expected = np.floor(n * own + 1e-9).astype(int)
            made = next((s for s in found.values() if s.kind == kind), None)
            if expected.min() < 1:
                assert made is None
                assert any(name.startswith(kind) for name in left)
            else:
                assert made is not None
                assert made.counts.tolist() == expected.tolist()


def test_equal_classes_are_the_published_sets_by_both_rules() -> None:
    families = {"permuted": PermutedConfig((10.0,)), "dirichlet": DirichletConfig((0.5,))}
    settings = {"ratios": (2.0, 7.0, 50.0), **families}
    one, left = planned([100] * 10, size="largest", **settings)
    other, _ = planned([100] * 10, **settings)
    assert not left
    assert {n: s.definition() for n, s in one.items()} == {
        n: s.definition() for n, s in other.items()
    }


def test_families_are_as_large_as_the_classes_allow() -> None:
    available = [300, 40, 9, 80]
    families = {"permuted": PermutedConfig((5.0,)), "dirichlet": DirichletConfig((1.0,))}
    large, _ = planned(available, size="largest", **families)
    small, _ = planned(available, **families)
    for name in small:
        assert (large[name].counts <= available).all()
        if name.startswith(("permuted", "dirichlet")):
            assert large[name].counts.sum() >= small[name].counts.sum()
    assert large["dirichlet1-0"].counts.sum() > small["dirichlet1-0"].counts.sum()


def test_what_is_left_out_names_the_class_and_the_rest_stands() -> None:
    found, left = planned([1000, 5], ("no", "yes"), ratios=(200.0,), size="largest")
    assert left == {
        "backward200": "class 1 ('yes') has 5 test images, so the largest class would have 5 and "
        "class 0 ('no') none; a ratio may go up to 5"
    }
    assert list(found) == ["forward200", "uniform", "natural"]


@pytest.mark.parametrize("size", ["largest", "smallest-class"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_image_is_never_called_a_ratio(size: str, n: int) -> None:
    names = ("a", "owl", "c")
    told: list[str] = []
    for settings in ({"ratios": (40.0,)}, {"permuted": PermutedConfig((40.0,))}):
        try:
            _, left = planned([30, n, 20], names, size=size, **settings)
            told += left.values()
        except InputError as error:
            told.append(str(error))
    assert len(told) >= 2
    for text in told:
        assert "class 1 ('owl')" in text
        if size == "smallest-class":
            assert re.search(rf"class 1 \('owl'\) has {n} test image", text), text
        assert not re.search(r"up to 1($|[^0-9.])", text)


def test_the_published_rule_is_the_default_and_outside_every_identity() -> None:
    assert "size" not in identity_of(TestConfig())
    assert identity_of(TestConfig(size="largest"))["size"] == "largest"
    with pytest.raises(InputError, match="must be one of: smallest-class, largest"):
        TestConfig(size="all")


def test_max_count_is_a_limit_of_the_largest_rule() -> None:
    found, _ = planned([300, 50], ratios=(2.0,), size="largest", max_count=60)
    assert found["forward2"].counts.tolist() == [60, 30]
    assert found["backward2"].counts.tolist() == [25, 50]
    with pytest.raises(InputError, match=r"class 1 has 50 test images, 60 are asked for"):
        planned([300, 50], ratios=(2.0,), max_count=60)
