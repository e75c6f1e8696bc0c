"""Overrides of a protocol, ``recipe.epochs=40``: each key once, whichever option it comes by."""

from __future__ import annotations

from collections.abc import Iterable

from ltbench.errors import InputError

_LIKE = "recipe.epochs=40"


def parse_override(text: str, option: str = "--set", like: str = _LIKE) -> tuple[str, str]:
    """``"recipe.epochs=40"`` to ``("recipe.epochs", "40")``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{option} {text!r} must look like {like}")
    return key.strip(), value.strip()


def parse_overrides(
    texts: Iterable[str], option: str = "--set", like: str = _LIKE
) -> dict[str, str]:
    """All of ``texts`` in one mapping. Raises :class:`InputError` where a key is given twice."""
    values: dict[str, str] = {}
    for text in texts:
        key, value = parse_override(text, option, like)
        if key in values:
            raise InputError(
                f"{option} gives {key} twice, {values[key]!r} and {value!r}; one of them is too much"
            )
        values[key] = value
    return values
