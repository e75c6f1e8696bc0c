"""Typed settings: conversion, ranges, and one-line errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.errors import InputError, nearest
from ltbench.hyper import Hyper
from ltbench.settings import convert, read, setting, show


@dataclass(frozen=True)
class Inner(Hyper):
    depth: int = setting(1, low=1)


@dataclass(frozen=True)
class Sample(Hyper):
    size: int = setting(low=1, high=10, help="how many")
    rate: float = setting(0.5, above=0)
    flag: bool = False
    kind: str = setting("a", choices=("a", "b"))
    parts: tuple[float, ...] = setting((0.5,), above=0)
    limit: int | None = setting(None, low=1)
    inner: Inner = field(default_factory=Inner)
    table: dict[str, tuple[int, ...]] = field(default_factory=dict)


def make(**values: Any) -> Sample:
    return read(Sample, {"size": 3, **values}, "here")


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("size", 4, 4),
        ("size", "4", 4),
        ("size", 4.0, 4),
        ("rate", 1, 1.0),
        ("rate", "1e-3", 0.001),
        ("flag", True, True),
        ("flag", "true", True),
        ("flag", "No", False),
        ("kind", "b", "b"),
        ("parts", [1, 2], (1.0, 2.0)),
        ("parts", "0.1,2", (0.1, 2.0)),
        ("parts", 3, (3.0,)),
        ("limit", None, None),
        ("limit", "7", 7),
        ("inner", {"depth": "2"}, Inner(2)),
        ("table", {"x": "1,2"}, {"x": (1, 2)}),
    ],
)
def test_values_are_read(key: str, given: Any, expected: Any) -> None:
    value = getattr(make(**{key: given}), key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("size", "x", "here.size = 'x' must be a whole number"),
        ("size", 1.5, "here.size = 1.5 must be a whole number"),
        ("size", True, "here.size = True must be a whole number"),
        ("size", None, "here.size = None must be a whole number"),
        ("size", [1], r"here.size = \[1\] must be a whole number"),
        ("size", 0, "size = 0 must be at least 1"),
        ("size", 11, "size = 11 must be at most 10"),
        ("size", float("inf"), "must be a whole number"),
        ("rate", "fast", "here.rate = 'fast' must be a number"),
        ("rate", False, "here.rate = False must be a number"),
        ("rate", 0, "rate = 0.0 must be greater than 0"),
        ("rate", "nan", "rate = nan must be finite"),
        ("rate", "inf", "rate = inf must be finite"),
        pytest.param("rate", 10**400, "must be a number", id="too large for a float"),
        ("flag", "maybe", "here.flag = 'maybe' must be true or false"),
        ("flag", 2, "here.flag = 2 must be true or false"),
        ("kind", "c", "kind = 'c' must be one of: a, b"),
        ("kind", 1, "here.kind = 1 must be text"),
        ("parts", [1, 0], "parts = 0.0 must be greater than 0"),
        ("parts", "1,", r"here.parts\[1\] = '' must be a number"),
        ("parts", [[1]], r"here.parts\[0\] = \[1\] must be a number"),
        ("limit", 0, "limit = 0 must be at least 1"),
        ("inner", 3, "here.inner must be a table, not 3"),
        ("inner", {"depth": 0}, "here.inner: depth = 0 must be at least 1"),
        ("inner", {"dept": 1}, "here.inner has no 'dept'.*did you mean 'depth'"),
        ("table", [1], "here.table must be a table"),
        ("table", {"x": "one"}, r"here.table.x\[0\] = 'one' must be a whole number"),
    ],
)
def test_wrong_values_are_refused_in_one_line(key: str, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make(**{key: given})
    assert "\n" not in str(caught.value)


def test_an_unknown_key_lists_the_known_and_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"here has no 'siz' .*size, rate.*did you mean 'size'"):
        make(siz=1)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match="here lacks 'size'"):
        read(Sample, {}, "here")


def test_direct_construction_is_checked_too() -> None:
    with pytest.raises(InputError, match="size = 0 must be at least 1"):
        Sample(0)


def test_a_number_as_text_with_a_line_break_stays_one_line() -> None:
    with pytest.raises(InputError) as caught:
        convert("1\n2", int, "here")
    assert "\n" not in str(caught.value)


def test_training_part_leaves_out_what_only_prediction_reads() -> None:
    @dataclass(frozen=True)
    class Mixed(Hyper):
        tau: float = 1.0
        shown: float = setting(2.0, prediction_only=True)

    hyper = Mixed()
    assert hyper.training_part() == {"tau": 1.0}
    assert hyper.to_json() == {"tau": 1.0, "shown": 2.0}


def test_nearest_suggests_only_what_is_close() -> None:
    assert nearest("sad", ["ride", "sade"]) == "; did you mean 'sade'?"
    assert nearest("zzz", ["ride", "sade"]) == ""


def test_input_errors_are_value_errors_with_exit_code_2() -> None:
    assert issubclass(InputError, ValueError)
    assert InputError.exit_code == 2


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_shown_number_reads_back(value: float) -> None:
    assert convert(show(value), float, "here") == value


def test_numbers_are_shown_as_short_as_they_can_be() -> None:
    assert [show(v) for v in (2.0, 0.1, 5e-4, 1e6, 3, True, "a", None)] == [
        *("2", "0.1", "0.0005", "1e+06", "3", "True", "a", "None"),
    ]
    assert show((0.8, 0.9)) == "0.8,0.9"
