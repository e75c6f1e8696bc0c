"""The order of classes that are only names: whole numbers by value, other names as text."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
BY_VALUE = "classes are whole numbers and ordered by value, not as text"


def ordered_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Different names in order; by value only where every one is a whole number.

    >>> ordered_classes(["10", "9", "1"]), ordered_classes(["b", "10", "9"])
    (('1', '9', '10'), ('10', '9', 'b'))
    """
    found = set(names)
    if all(_WHOLE.fullmatch(name) for name in found):
        return tuple(sorted(found, key=lambda name: (int(name), name)))  # "01" and "1" both stay
    return tuple(sorted(found))
