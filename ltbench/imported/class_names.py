"""Names of classes: those of a model's outputs, and labels that are names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import InputError, nearest
from ltbench.files import parse_json, read_whole
from ltbench.imported.array_file import from_numpy_file
from ltbench.imported.arrays import read_array
from ltbench.imported.in_memory import InMemory, Source, source_name
from ltbench.imported.text import is_number, numbered_lines

_HEADINGS = ("label", "labels", "class", "classes", "target", "targets", "y")

Names = tuple[str, ...]


def normal(name: str) -> str:
    """An accent is one character or two; a class has one name either way (Unicode NFC)."""
    return unicodedata.normalize("NFC", name)


def read_classes(source: Source) -> Names:
    """Names of the classes in the order of a model's outputs.

    A text file has one a line; JSON a list, ``{name: number}`` (torchvision's ``class_to_idx``) or
    ``{number: name}``. Raises :class:`InputError` for whatever else.
    """
    where = source_name("classes", source)
    found: object
    if isinstance(source, InMemory):
        found = source.value
        if isinstance(found, Iterable) and not isinstance(found, str | Mapping):
            found = [item.item() if isinstance(item, np.generic) else item for item in found]
    else:
        found = _of_file(source, where)
    if isinstance(found, Mapping):
        found = _by_number(found, where)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"{where} must hold names: one a line, a JSON list, or numbers of names")
    names = tuple(normal(name) for name in found)
    if len(names) < 2 or not all(name.strip() for name in names):
        raise InputError(f"{where} must hold at least two names, none of them empty")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputError(f"{where} names {twice!r} twice")
    return names


def _of_file(path: Path, where: str) -> object:
    try:
        text = read_whole(path).decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            found: object = parse_json(text)
            return found
    except OSError as error:
        raise InputError(f"{where} is not readable: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{where} is not readable: it is not text in UTF-8") from None
    except (ValueError, RecursionError) as error:  # also of a number too long for Python
        raise InputError(f"{where} is no JSON: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _by_number(found: Mapping[object, object], where: str) -> object:
    """``{name: number}`` or ``{number: name}`` as a list of names."""
    pairs = list(found.items())
    if all(isinstance(name, str) for _, name in pairs):
        pairs = [(name, number) for number, name in pairs]
    try:
        numbers = {int(str(number)): name for name, number in pairs}
    except ValueError:
        numbers = {}
    if sorted(numbers) != list(range(len(pairs))):
        raise InputError(f"{where}: the numbers of its names must be 0 to {len(pairs) - 1}")
    return [numbers[c] for c in range(len(pairs))]


def read_labels(source: Source, names: Names | None, what: str = "labels") -> tuple[Tensor, bool]:
    """``(N,)`` whole numbers as they are told, and whether they were told as names.

    Labels that are text are looked up in ``names``. Whole numbers are places in it; where the names
    are whole numbers themselves, in another order, they are names if they cannot be places, and
    refused where they could be either. Raises :class:`InputError`.
    """
    where = source_name(what, source)
    texts = _texts(source, what, names or ())
    if texts is not None:
        return numbers_of(texts, names, where), True
    labels = whole_numbers(read_array(source, what), where)
    return _of_numerals(labels, names, where)


def _of_numerals(labels: Tensor, names: Names | None, where: str) -> tuple[Tensor, bool]:
    if names is None or not all(name.isdecimal() for name in names):
        return labels, False
    if names == tuple(map(str, range(len(names)))):
        return labels, False
    told = {str(label) for label in set(labels.tolist())}
    if not told <= set(names):
        return labels, False
    if told <= set(map(str, range(len(names)))):
        raise InputError(
            f"{where}: the classes are called by numbers in another order ({', '.join(names[:4])}, ...), "
            "so whole numbers may be names or places; give an array of text, np.array(y, dtype=str), "
            "for names"
        )
    return numbers_of([str(label) for label in labels.tolist()], names, where), True


def numbers_of(texts: Sequence[str], names: Names | None, where: str) -> Tensor:
    """Places of ``texts`` in ``names``. Raises :class:`InputError` that names the first unknown."""
    if names is None:
        raise InputError(
            f"{where} holds names, as {texts[0]!r}, which do not tell the order of the columns of the "
            "logits; --classes FILE does, with the model's classes in its own order, one a line"
        )
    places = {name: c for c, name in enumerate(names)}
    found = [places.get(normal(text), -1) for text in texts]
    if -1 in found:
        i = found.index(-1)
        raise InputError(
            f"{where}: {texts[i]!r} of image {i} is no class of the model{nearest(texts[i], names)}"
        )
    return torch.tensor(found, dtype=torch.int64)


def _texts(source: Source, what: str, names: Names) -> list[str] | None:
    """None where they are no names."""
    if isinstance(source, InMemory):
        return None if isinstance(source.value, Tensor) else _of_array(np.array(source.value))
    suffix = source.suffix.lower()
    try:
        if suffix in (".npy", ".npz") and source.is_file():
            return _of_array(from_numpy_file(source, what))
        if suffix in (".csv", ".txt") and source.is_file():
            return _of_lines(source, names)
    except (InputError, OSError, ValueError, EOFError):
        return None  # told by :func:`read_array`, which meets the same
    return None


def _of_array(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> list[str] | None:
    flat = array.reshape(-1).tolist()
    if array.dtype.kind == "S":
        flat = [item.decode("utf-8", "replace") for item in flat]
    return flat if flat and all(isinstance(item, str) for item in flat) else None


def _of_lines(path: Path, names: Names) -> list[str] | None:
    """Lines without any number of their own; several columns are for ``--predictions``."""
    lines = [text.strip("\"'") for _, text in numbered_lines(path)]
    if len(lines) > 1 and lines[0].lower() in _HEADINGS and normal(lines[0]) not in names:
        lines = lines[1:]
    if not lines or any(is_number(text) for text in lines):
        return None
    if all(normal(text) in names for text in lines):  # "top 10" is a name where it is known
        return lines
    words = (word for text in lines for word in (*text.split(","), text.split()[-1]))
    return None if any(map(is_number, words)) else lines


def whole_numbers(array: Tensor, where: str) -> Tensor:
    """``(N,)`` int64. Raises :class:`InputError` where they are no whole numbers in a row or column."""
    if array.is_floating_point():
        rounded = array.round()
        if not bool(torch.isfinite(array).all()) or not torch.equal(rounded, array):
            raise InputError(f"{where} must hold whole numbers")
    array = array.squeeze(-1) if array.ndim == 2 else array
    if array.ndim != 1 or array.dtype == torch.bool:
        raise InputError(
            f"{where} has shape {tuple(array.shape)} of {array.dtype}; expected one whole number "
            "per image or class, in one row or column"
        )
    return array.long()
