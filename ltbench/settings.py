"""Typed settings: frozen dataclasses read from TOML or the command line, with one-line errors."""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ltbench.errors import InputError, nearest

T = TypeVar("T")


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str = "",
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    prediction_only: bool = False,
    later: bool = False,
    reader: Callable[[Any, str], Any] | None = None,
    needs: Mapping[str, str] | None = None,
) -> Any:
    """A dataclass field with its range; without a default it must be given.

    ``low`` and ``high`` are inclusive, ``above`` is exclusive; for tuples they hold for each item.
    ``prediction_only`` marks what training never reads: such a value belongs to the identity of an
    evaluation, not of a trial. ``later`` marks a setting that came after results were stored:
    identities leave it out while it has its default, so that what is stored is found again.
    ``reader`` turns the given value and its place into the setting's, instead of :func:`convert`.
    ``needs`` tells which value makes a strategy need what, beyond its own ``needs``.
    """
    metadata = {
        "help": help,
        "low": low,
        "above": above,
        "high": high,
        "choices": choices,
        "prediction_only": prediction_only,
        "later": later,
        "reader": reader,
        "needs": needs or {},
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_ranges(instance: Any) -> None:
    """Checks every field of a dataclass made with :func:`setting`; raises :class:`InputError`."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            _check_range(field.name, item, field.metadata)


def _check_range(name: str, value: object, metadata: Mapping[str, Any]) -> None:
    choices = metadata.get("choices", ())
    if choices and value not in choices:
        listed = ", ".join(choice or "'' (none)" for choice in choices)
        raise InputError(f"{name} = {value!r} must be one of: {listed}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise InputError(f"{name} = {value} must be finite")
    low, above, high = metadata.get("low"), metadata.get("above"), metadata.get("high")
    if low is not None and value < low:
        raise InputError(f"{name} = {value} must be at least {low}")
    if above is not None and value <= above:
        raise InputError(f"{name} = {value} must be greater than {above}")
    if high is not None and value > high:
        raise InputError(f"{name} = {value} must be at most {high}")


def identity_of(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain values, nested ones too: what an identity hashes.

    Fields marked ``later`` are left out while they have their default.
    """
    return {
        field.name: _plain(getattr(instance, field.name))
        for field in dataclasses.fields(instance)
        if not is_unused(instance, field)
    }


def is_unused(instance: Any, field: dataclasses.Field[Any]) -> bool:
    """Whether ``field`` came later and has its default, which is how things were before it."""
    if not field.metadata.get("later", False):
        return False
    usual = field.default
    if field.default_factory is not dataclasses.MISSING:
        usual = field.default_factory()
    return bool(getattr(instance, field.name) == usual)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return identity_of(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def read(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Builds the dataclass ``kind`` from a mapping.

    ``where`` names the place for messages. Raises :class:`InputError` for an unknown key (with the
    nearest right one), a missing key, a wrong type or a value out of range.
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    resolved: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            listed = ", ".join(fields) or "none"
            raise InputError(
                f"{where} has no {shorten(key)} (it has: {listed}){nearest(key, fields)}"
            )
        place = f"{where}.{key}"
        reader = fields[key].metadata.get("reader")
        resolved[key] = (
            reader(value, place) if reader is not None else convert(value, hints[key], place)
        )
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in resolved:
            raise InputError(f"{where} lacks {name!r}")
    try:
        return kind(**resolved)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


@lru_cache(maxsize=256)  # it evaluates the text of every annotation
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def convert(value: Any, kind: Any, where: str) -> Any:
    """Reads ``value`` (text of the command line, or a TOML or JSON value) as ``kind``."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [option for option in get_args(kind) if option is not type(None)]
        return None if value is None else convert(value, inner[0], where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise InputError(f"{where} must be a table, not {value!r}")
        return read(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        items = list(map(str.strip, value.split(","))) if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            items = [items]
        return tuple(
            convert(item, get_args(kind)[0], f"{where}[{i}]") for i, item in enumerate(items)
        )
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{where} must be a table, not {value!r}")
        inner_kind = get_args(kind)[1]
        return {str(k): convert(v, inner_kind, f"{where}.{k}") for k, v in value.items()}
    if kind is Any:
        return value
    return _scalar(value, kind, where)


_BOOLS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _scalar(value: Any, kind: Any, where: str) -> Any:
    try:
        if kind is bool:
            return value if isinstance(value, bool) else _BOOLS[str(value).lower()]
        if kind is int and not isinstance(value, bool):
            return _whole(value)
        if kind is float and not isinstance(value, bool):
            if isinstance(value, str) and "_" in value:
                raise ValueError(value)
            return float(value)
        if kind is str and isinstance(value, str):
            return value
    except (ValueError, KeyError, TypeError, OverflowError):
        pass
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    raise InputError(f"{where} = {shorten(value)} must be {words.get(kind, kind)}")


_DIGITS = re.compile(r"[+-]?[0-9]+", re.ASCII)
_LARGEST = 2**63 - 1  # of a signed number of 64 bits, which counts and seeds become


def _whole(value: Any) -> int:
    """``5``, ``"5"`` or ``5.0``; raises ValueError or TypeError for ``"5_0"``, ``"5e1"`` and 5.5."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value.strip()):
        raise ValueError(value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    number = int(value)
    if abs(number) > _LARGEST:
        raise ValueError(value)
    return number


def shorten(value: Any) -> str:
    """``value`` as a message shows it: one line, and readable."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def show(value: Any) -> str:
    """A value as text that reads back as the same value: labels and variants tell settings apart."""
    if isinstance(value, tuple | list):
        return ",".join(map(show, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
