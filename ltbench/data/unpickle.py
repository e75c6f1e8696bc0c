"""A restricted unpickler for the official CIFAR files: NumPy arrays and plain values, nothing else.

These archives are the only pickles that ltbench ever reads, and only after their checksum matched.
A pickle can name any importable function and have it called; here every name but the three that
rebuild an array is refused before it is even imported.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ltbench.errors import DataError

# What an array's own pickle calls; asked of an array, as its module changed its name in NumPy 2.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]  # type: ignore[no-untyped-call, unused-ignore]

_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load_arrays(content: bytes, where: str) -> Any:
    """Unpickles ``content``: numbers, text, lists, tuples, dicts and NumPy arrays of numbers.

    Text written by Python 2 is read as latin-1, as torchvision does. Raises :class:`DataError`,
    naming ``where``, for anything else; nothing of it is executed.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a hostile or broken pickle may raise anything at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{where} is refused, it is not a plain pickle of arrays: {reason}"
        ) from error
