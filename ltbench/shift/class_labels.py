"""Classes by name or number, as protocol files list them, met with the class names of the images."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.errors import InputError, nearest


def class_labels(asked: Sequence[str], names: Sequence[str], where: str) -> list[int]:
    """Label values of ``asked``: all of them class names or, where none is one, all numbers.

    Raises :class:`InputError`, naming ``where``, for an unknown class and for names among numbers.
    """
    known = [item for item in asked if item in names]
    if known:
        for item in asked:
            if item not in names:
                mixed = " beside names" if item.isdecimal() else ""
                raise InputError(
                    f"{where}: no class is called {item!r}{mixed}{nearest(item, names)}"
                )
        return [list(names).index(item) for item in asked]
    numbers = []
    for item in asked:
        if not (item.isascii() and item.isdecimal()):
            raise InputError(f"{where}: no class is called {item!r}{nearest(item, names)}")
        if int(item) >= len(names):
            raise InputError(
                f"{where}: class {item} is none of 0 to {len(names) - 1}, nor a class's name"
            )
        numbers.append(int(item))
    if len(set(numbers)) != len(numbers):
        raise InputError(f"{where} = {list(asked)} must differ from one another")
    return numbers
