"""Names: what a plugin may be called, and rows such as ``3*sade[tau=1]+stability[epochs=3]``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ltbench.errors import InputError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_COPIES = re.compile(r"(\d+)\s*\*(.*)", re.DOTALL)
MAX_COPIES = 1000
ALL = "all"
"""Among methods: every one there is."""
# Names of devices: no file or folder may be called so on Windows, and results travel.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(1, 10))}


def check_name(name: object, what: str, *, capitals: bool = False) -> str:
    """Returns ``name`` where it is safe as a folder name and in a list, else raises InputError.

    capitals: also A-Z; then whoever keeps folders refuses names that differ in case alone.
    """
    plain = name.lower() if isinstance(name, str) and name.isascii() and capitals else name
    if not isinstance(plain, str) or not _NAME.fullmatch(plain) or plain.split(".")[0] in _RESERVED:
        shown = repr(name) if len(repr(name)) <= 60 else repr(name)[:57] + "...'"
        letters = "A-Z, a-z" if capitals else "a-z"
        raise InputError(
            f"{what} {shown} is not usable: 1 to 64 of {letters}, 0-9, '-', '_' and '.', "
            "starting and ending with a letter or digit, no reserved file name"
        )
    return str(name)


def check_source_name(name: object, what: str) -> str:
    """As :func:`check_name`; a source may also be one of a family, ``torchvision:FashionMNIST``."""
    family, colon, member = name.partition(":") if isinstance(name, str) else (name, "", "")
    check_name(family, what)
    if colon:
        check_name(member, f"{what} {name!r}:", capitals=True)
    return str(name)


@dataclass(frozen=True)
class Call:
    """A name with parameters as text: ``tau[x=1,y=2]``."""

    name: str
    params: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of the benchmark as asked for: a method, and a strategy or None for the method's own.

    copies: of an ensemble ``3*ce`` the number of networks; None for one network, and for a named
    ensemble, whose members the protocol tells. optional: it is one of ``all``, left out with a note
    where it cannot be had.
    """

    method: Call
    strategy: Call | None
    copies: int | None = None
    optional: bool = field(default=False, compare=False)


def split_list(text: str, separator: str = ",") -> list[str]:
    """Splits on ``separator`` outside brackets, strips, drops nothing: ``"a,b[c=1,d=2]"`` -> 2."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    if depth != 0:
        raise InputError(f"{text!r}: brackets do not match")
    parts.append(text[start:].strip())
    return parts


def parse_call(text: str) -> Call:
    """``"sade[tau=1]"`` to its name and parameters."""
    name, bracket, rest = text.strip().partition("[")
    if not name:
        raise InputError(f"{text!r} has no name")
    if not bracket:
        return Call(name)
    if not rest.endswith("]") or "[" in rest:
        raise InputError(f"{text!r} must look like name[param=value,...]")
    params: dict[str, str] = {}
    for part in split_list(rest[:-1]):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise InputError(f"{text!r}: {part!r} must look like param=value")
        if key.strip() in params:
            raise InputError(f"{text!r}: {key.strip()!r} is given twice")
        params[key.strip()] = value.strip()
    return Call(name.strip(), params)


def parse_copies(text: str) -> tuple[int | None, str]:
    """``"3*sade[tau=1]"`` to 3 and ``"sade[tau=1]"``; None where no number is given."""
    found = _COPIES.fullmatch(text.strip())
    if found is None:
        return None, text
    if len(found[1]) > 6 or not 1 <= int(found[1]) <= MAX_COPIES:
        raise InputError(f"{text!r}: an ensemble has 1 to {MAX_COPIES} members of a kind")
    return int(found[1]), found[2]


def parse_row(text: str) -> Row:
    """``"sade[tau=1]+none"`` to method and strategy."""
    parts = split_list(text, "+")
    if len(parts) > 2 or not all(parts):
        raise InputError(f"{text!r} must look like method or method+strategy")
    copies, method = parse_copies(parts[0])
    strategy = parse_call(parts[1]) if len(parts) == 2 else None
    return Row(parse_call(method), strategy, copies)


def parse_member(text: str) -> tuple[int, Call]:
    """A member of a named ensemble, ``"ce"`` or ``"2*ce"``, to its number and method."""
    copies, method = parse_copies(text)
    if len(split_list(method, "+")) > 1:
        raise InputError(f"{text!r} is no member of an ensemble: methods only, without a strategy")
    return copies or 1, parse_call(method)


def parse_rows(text: str) -> list[Row]:
    """A comma-separated list of rows; an empty or doubled one raises InputError."""
    parts = split_list(text)
    if not all(parts):
        raise InputError(
            "methods: the list is empty or has an empty place; see `ltbench list methods`"
        )
    rows = [parse_row(part) for part in parts]
    for i, row in enumerate(rows):
        if row in rows[:i]:
            raise InputError(f"methods: {parts[i]!r} is named twice")
    return rows


def format_call(name: str, params: str) -> str:
    """``("sade", "tau=1")`` to ``"sade[tau=1]"``."""
    return f"{name}[{params}]" if params else name
