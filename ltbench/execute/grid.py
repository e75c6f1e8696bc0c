"""A grid of hyper-parameters and recipe fields as text: ``"tau=0.5,1,2"``, ``"recipe.lr=0.05,0.1"``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import product

from ltbench.errors import InputError, nearest
from ltbench.names import Call, Row, parse_row
from ltbench.protocol.protocol import Recipe
from ltbench.registry import Registries

RECIPE = "recipe."


def parse_axis(text: str) -> tuple[str, tuple[str, ...]]:
    """``"tau=0.5,1,2"`` to ``("tau", ("0.5", "1", "2"))``; raises :class:`InputError`."""
    key, equals, values = text.partition("=")
    found = tuple(value.strip() for value in values.split(","))
    if not equals or not key.strip() or not all(found):
        raise InputError(f"--grid {text!r} must look like tau=0.5,1,2")
    if len(set(found)) != len(found):
        raise InputError(f"--grid {text!r} names a value twice")
    return key.strip(), found


def split_axes(grid: Sequence[str]) -> tuple[list[str], list[str]]:
    """Axes of the method's hyper-parameters, and those of the recipe, which begin with ``recipe.``."""
    recipe = [axis for axis in grid if axis.lstrip().startswith(RECIPE)]
    return [axis for axis in grid if axis not in recipe], recipe


def recipe_points(grid: Sequence[str]) -> list[dict[str, str]]:
    """Every point of the product of the recipe's axes, as overrides; one without any where there is none.

    Raises :class:`InputError` for a field that no recipe has, one that is a list, or one given twice.
    """
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    axes: dict[str, tuple[str, ...]] = {}
    for key, values in map(parse_axis, grid):
        name = key.removeprefix(RECIPE)
        if name not in fields:
            listed = ", ".join(fields)
            raise InputError(
                f"--grid: a recipe has no {name!r} (it has: {listed}){nearest(name, fields)}"
            )
        if str(fields[name].type).startswith("tuple"):
            raise InputError(f"--grid: {key} is a list of numbers, which a grid cannot vary")
        if key in axes:
            raise InputError(f"--grid: {key!r} is given twice")
        axes[key] = values
    return [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]


def grid_rows(method: str, grid: Sequence[str], registries: Registries) -> list[Row]:
    """Every point of the product of ``grid`` as a row of ``method`` without adaptation; of an empty
    grid the method as it is.

    Raises :class:`InputError` for a strategy, a parameter that is unknown, fixed or doubled.
    """
    asked = parse_row(method)
    if asked.strategy is not None:
        raise InputError(
            f"{method!r}: tune chooses the hyper-parameters of a method; name it without a strategy"
        )
    known = registries.methods.get(asked.method.name).cls.hyper_type.__dataclass_fields__
    axes: dict[str, tuple[str, ...]] = {}
    for key, values in map(parse_axis, grid):
        if key not in known:
            listed = ", ".join(known) or "none"
            raise InputError(
                f"--grid: {asked.method.name} has no {key!r} (it has: {listed}){nearest(key, known)}; "
                "fields of the recipe are recipe.lr, recipe.epochs, ..."
            )
        if key in axes or key in asked.method.params:
            raise InputError(f"--grid: {key!r} is given twice")
        axes[key] = values
    return [
        Row(
            Call(asked.method.name, {**asked.method.params, **dict(zip(axes, point, strict=True))}),
            Call("none"),
        )
        for point in product(*axes.values())
    ]


def row_text(row: Row) -> str:
    """``ce+none``, ``sade[tau=1]+none``: a row as the command line takes it."""
    params = ",".join(f"{key}={value}" for key, value in row.method.params.items())
    name = f"{row.method.name}[{params}]" if params else row.method.name
    return f"{name}+{row.strategy.name}" if row.strategy else name
