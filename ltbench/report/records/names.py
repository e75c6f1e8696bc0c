"""Order and short names of test distributions, and safe names of files and folders."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

_KINDS = {"forward": "F", "backward": "B"}
_PARTS = {"many-only": 0, "medium-only": 1, "few-only": 2}
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows

Order = tuple[int, float, str]


def distribution_order(name: str, kind: str, ratio: float | None) -> Order:
    """Forward from the highest ratio down, uniform, backward up, then partial and other sets."""
    if kind == "forward":
        return (0, -(ratio or 0.0), name)
    if kind == "uniform":
        return (1, 0.0, name)
    if kind == "backward":
        return (2, ratio or 0.0, name)
    if is_family(kind):
        stem, _, number = name.rpartition("-")
        return (5, float(number) if number.isdecimal() else 0.0, stem)
    return (3 if kind == "partial" else 4, float(_PARTS.get(name, len(_PARTS))), name)


def is_shift(kind: str) -> bool:
    """Whether a set belongs on the line from forward over uniform to backward."""
    return kind in ("forward", "uniform", "backward")


def is_family(kind: str) -> bool:
    """Whether a set is one of many that are shown by family, in a table of their own."""
    return kind in ("dirichlet", "permuted")


def is_mix(kind: str) -> bool:
    """Whether a set has a label distribution that somebody stated class by class."""
    return kind == "mix"


def short_name(name: str, kind: str, ratio: float | None) -> str:
    """``F50``, ``U``, ``B50``; the name itself where it says more than kind and ratio."""
    if kind == "uniform" and name == "uniform":
        return "U"
    if kind in _KINDS and ratio is not None and name == f"{kind}{ratio:g}":
        return f"{_KINDS[kind]}{ratio:g}"
    return name


def listed(names: Sequence[str], of: int, most: int = 4) -> str:
    """``"F50, U"``; of more than ``most`` names their number among ``of`` test sets."""
    if len(names) <= most:
        return ", ".join(names)
    return f"all {of} test sets" if len(names) == of else f"{len(names)} of {of} test sets"


def counted(n: int, of: int, what: str) -> str:
    """``"4 of 5 seeds"``, ``"1 of 1 seed"``."""
    return f"{n} of {of} {what}{'' if of == 1 else 's'}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:6]


def safe_name(text: str, longest: int = 80) -> str:
    """A name for a file or folder on any system, made of ASCII letters, digits, dots and dashes.

    >>> safe_name("cifar100-lt-imbalance=50, recipe.epochs=40")
    'cifar100-lt-imbalance-50-recipe.epochs-40'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^A-Za-z0-9.]+", "-", plain)
    name = re.sub(r"-*\.{2,}-*|-\.-?|\.-", "-", name).strip("-.")
    if not name or _DEVICE_NAMES.fullmatch(name):
        name = f"protocol-{digest(text)}"
    if len(name) > longest:
        name = f"{name[: longest - 7].rstrip('-.')}-{digest(text)}"
    return name
