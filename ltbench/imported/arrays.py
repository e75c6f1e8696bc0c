"""Reading one array from a user's file: safetensors, .npy without objects, or CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ltbench.errors import InputError
from ltbench.imported.in_memory import InMemory, Source, source_name

READABLE = ".safetensors, .npy or .csv"


def read_array(path: Source, what: str) -> Tensor:
    """The array in ``path``; ``what`` (``logits``, ``labels``, ...) names it in messages.

    A safetensors file holds one tensor, or one of the name ``what``. A CSV file holds numbers
    separated by commas, with or without one line of headings; whole numbers give an int64 array.
    Nothing is unpickled. Raises :class:`InputError` with one line.
    """
    where = source_name(what, path)
    if isinstance(path, InMemory):
        return path.tensor(where)
    if not path.is_file():
        raise InputError(f"{where} does not exist" if not path.exists() else f"{where} is no file")
    if path.stat().st_size == 0:
        raise InputError(f"{where} is empty")
    suffix = path.suffix.lower()
    try:
        if suffix == ".safetensors":
            array = _from_safetensors(path, what)
        elif suffix == ".npy":
            array = _from_numpy(np.load(path, allow_pickle=False))
        elif suffix in (".csv", ".txt"):
            array = _from_csv(path)
        else:
            raise InputError(f"its name must end in {READABLE}")
    except (InputError, OSError, ValueError, EOFError, TypeError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{where} is not readable: {reason}") from error
    if array.numel() == 0:
        raise InputError(f"{where} holds an empty array {tuple(array.shape)}")
    return array


def _from_safetensors(path: Path, what: str) -> Tensor:
    tensors = load_file(path)
    if what in tensors:
        return tensors[what]
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    listed = ", ".join(sorted(tensors)) or "none"
    raise InputError(f"it must hold one tensor, or one called {what!r}; it holds: {listed}")


def _from_numpy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise InputError(f"it must hold numbers, not {array.dtype}")
    native = array.astype(array.dtype.newbyteorder("="))  # torch knows no foreign byte order
    return torch.from_numpy(np.ascontiguousarray(native)).reshape(array.shape)


def _from_csv(path: Path) -> Tensor:
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
        lines = [*([] if _is_heading(first) else [first]), *file]
        if not any(line.strip() for line in lines):
            raise InputError("it holds no numbers")
        values = np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2)
    if 1 in values.shape:
        values = values.reshape(-1)
    array = torch.from_numpy(values)
    whole = bool(torch.isfinite(array).all()) and bool((array == array.round()).all())
    return array.long() if whole else array


def _is_heading(line: str) -> bool:
    try:
        [float(part) for part in line.split(",")]
    except ValueError:
        return True
    return False
