"""What the modules of a package offer under one name: how files are found without a list to edit."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any


def members(package: str, name: str) -> list[Any]:
    """The items of every tuple called ``name`` in the modules of ``package``, by name of module.

    A module without that name offers nothing. What cannot be imported raises: these are files of
    ltbench itself, a broken one is never left out in silence.
    """
    found: list[Any] = []
    for module in sorted(
        pkgutil.iter_modules(import_module(package).__path__), key=lambda m: m.name
    ):
        found += getattr(import_module(f"{package}.{module.name}"), name, ())
    return found


def placed_members(package: str, name: str) -> tuple[Any, ...]:
    """:func:`members` in the order of their ``place``; two of one place would have no order."""
    found = sorted(members(package, name), key=lambda member: member.place)
    places = [member.place for member in found]
    assert len(set(places)) == len(places), f"two of {name} in {package} have one place: {places}"
    return tuple(found)
