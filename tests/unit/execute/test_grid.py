"""Grids of hyper-parameters: what is read, what is refused in one line."""

from __future__ import annotations

import pytest

from ltbench.errors import InputError
from ltbench.execute.grid import grid_rows, parse_axis, recipe_points, row_text, split_axes
from ltbench.registry import load_registries


def texts(method: str, *grid: str) -> list[str]:
    return [row_text(row) for row in grid_rows(method, grid, load_registries())]


def test_every_combination_is_a_row_without_adaptation() -> None:
    assert texts("sade", "tau=0.5,1") == ["sade[tau=0.5]+none", "sade[tau=1]+none"]
    assert texts("sade[reduced=false]", "tau=1") == ["sade[reduced=false,tau=1]+none"]
    assert texts("ride", "experts=2,3", "diversity_factor=-0.45,0") == [
        "ride[experts=2,diversity_factor=-0.45]+none",
        "ride[experts=2,diversity_factor=0]+none",
        "ride[experts=3,diversity_factor=-0.45]+none",
        "ride[experts=3,diversity_factor=0]+none",
    ]


def test_an_axis_is_a_name_and_its_values() -> None:
    assert parse_axis(" tau = 0.5, 1 ") == ("tau", ("0.5", "1"))


def test_axes_of_the_recipe_are_overrides() -> None:
    hyper, recipe = split_axes(["tau=1,2", "recipe.lr=0.1,0.2", " recipe.epochs=3"])
    assert hyper == ["tau=1,2"]
    assert recipe_points(recipe) == [
        {"recipe.lr": "0.1", "recipe.epochs": "3"},
        {"recipe.lr": "0.2", "recipe.epochs": "3"},
    ]
    assert recipe_points([]) == [{}]
    assert texts("sade") == ["sade+none"]


@pytest.mark.parametrize(
    ("method", "grid", "message"),
    [
        ("sade", ("tau",), "must look like tau=0.5,1,2"),
        ("sade", ("tau=",), "must look like"),
        ("sade", ("=1",), "must look like"),
        ("sade", ("tau=1,1",), "names a value twice"),
        ("sade", ("tua=1",), "sade has no 'tua'.*did you mean 'tau'"),
        ("ce", ("tau=1",), r"ce has no 'tau' \(it has: reweight_from, beta\)"),
        ("sade", ("tau=1", "tau=2"), "'tau' is given twice"),
        ("sade[tau=1]", ("tau=2",), "'tau' is given twice"),
        ("sade+stability", ("tau=1",), "name it without a strategy"),
        ("sad", ("tau=1",), "unknown method 'sad'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    method: str, grid: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        grid_rows(method, grid, load_registries())
    assert "\n" not in str(caught.value)
