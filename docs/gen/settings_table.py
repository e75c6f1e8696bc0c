"""Typed settings as a Markdown table: name, type, default, range, meaning."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

_WORDS = {bool: "true, false", int: "whole number", float: "number", str: "text", Any: "anything"}
REQUIRED = "required"


def settings_table(kind: type[Any], meanings: Mapping[str, str] | None = None) -> str:
    """Of the dataclass ``kind``; ``meanings`` explains fields that have no help text of their own."""
    hints = get_type_hints(kind)
    rows = []
    for field in dataclasses.fields(kind):
        meaning = field.metadata.get("help") or (meanings or {}).get(field.name, "")
        cells = (f"`{field.name}`", type_words(hints[field.name]), default_of(field))
        rows.append((*cells, range_of(field.metadata), meaning))
    return table(("name", "type", "default", "range", "meaning"), rows)


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *(map(escape, row) for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def type_words(kind: Any) -> str:
    """``tuple[float, ...] | None`` is "list of numbers"."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return type_words(next(k for k in get_args(kind) if k is not type(None)))
    if origin is tuple:
        inner = type_words(get_args(kind)[0])
        return "list of " + (inner if inner == "text" else f"{inner}s")
    if origin is dict or dataclasses.is_dataclass(kind):
        return "table"
    return _WORDS[kind]


def default_of(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return ""
    if field.default is dataclasses.MISSING:
        return REQUIRED
    value = field.default
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value}`"


def range_of(metadata: Mapping[str, Any]) -> str:
    """As :func:`ltbench.settings.setting` has it: ``low`` and ``high`` inclusive, ``above`` not."""
    if metadata.get("choices"):
        return ", ".join(f"`{choice}`" for choice in metadata["choices"])
    words = []
    if metadata.get("low") is not None:
        words.append(f"at least {metadata['low']}")
    if metadata.get("above") is not None:
        words.append(f"above {metadata['above']}")
    if metadata.get("high") is not None:
        words.append(f"at most {metadata['high']}")
    return ", ".join(words)
