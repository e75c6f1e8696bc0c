"""Reading one array from a user's file, whatever the format; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ltbench.errors import InputError
from ltbench.files import check_header
from ltbench.imported.array_file import from_numpy_file, from_torch, the_one
from ltbench.imported.in_memory import InMemory, Source, source_name
from ltbench.imported.text import read_text

READABLE = ".safetensors, .npy, .npz, .pt, .pth, .csv or .txt"


def read_array(path: Source, what: str) -> Tensor:
    """The array in ``path``; ``what`` (``logits``, ``labels``, ...) names it in messages.

    A safetensors, .npz, .pt or .pth file holds one array, or one of the name ``what``. Text: see
    :func:`ltbench.imported.text.read_text`. Nothing is unpickled but tensors by PyTorch's own
    restricted reader. Raises :class:`InputError` with one line.
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
        elif suffix in (".npy", ".npz"):
            array = _from_numpy(from_numpy_file(path, what))
        elif suffix in (".pt", ".pth"):
            array = from_torch(path, what)
        elif suffix in (".csv", ".txt"):
            array = read_text(path, what)
        else:
            raise InputError(f"its name must end in {READABLE}")
    except (InputError, OSError, ValueError, EOFError, TypeError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{where} is not readable: {reason}") from error
    if array.is_complex():
        raise InputError(f"{where} must hold real numbers, not {array.dtype}")
    if array.numel() == 0:
        raise InputError(f"{where} holds an empty array {tuple(array.shape)}")
    return array


def _from_safetensors(path: Path, what: str) -> Tensor:
    tensors = load_file(path)
    check_header(path)
    return tensors[the_one(list(tensors), what)]


def _from_numpy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise InputError(f"it must hold numbers, not {array.dtype}")
    if array.dtype.itemsize > 8:  # torch knows no 80- or 128-bit numbers
        array = array.astype(np.float64)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # nor much of these
        array = array.astype(np.int64)
    native = array.astype(array.dtype.newbyteorder("="))  # torch knows no foreign byte order
    return torch.from_numpy(np.ascontiguousarray(native)).reshape(array.shape)
