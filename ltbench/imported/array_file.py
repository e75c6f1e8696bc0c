"""Arrays in ``.npy``, ``.npz``, ``.pt`` and ``.pth`` files, read without running what is in them."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ltbench.bombs import Bomb, refuse_bomb
from ltbench.errors import InputError


def from_numpy_file(path: Path, what: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """The array of an ``.npy`` file; of an ``.npz`` file the only one, or the one called ``what``."""
    try:
        # A handle of our own: NumPy leaves its own open where the archive is damaged.
        with path.open("rb") as file:
            refuse_bomb(file)
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):  # NumPy goes by what is inside, not by the name
                return arrays
            with arrays:
                found: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
                found = arrays[the_one(arrays.files, what)]
                if not isinstance(found, np.ndarray):  # the bytes of a member that is no .npy file
                    raise InputError("it holds something that is no array")
                return found
    except (zipfile.BadZipFile, AttributeError) as error:
        raise InputError(f"it is no NumPy file ({_first_line(error)})") from None
    except ValueError as error:
        raise _pickled(error, path, what) from None
    except (InputError, OSError, EOFError, TypeError):
        raise
    except Exception as error:  # NumPy raises whatever a damaged header or archive leads it to
        raise InputError(f"it is no NumPy file ({_first_line(error)})") from None


def _pickled(error: ValueError, path: Path, what: str) -> ValueError:
    """What to tell where NumPy met Python objects; any other ``error`` as it is."""
    if "pickle" not in str(error):
        return error
    return InputError(
        "it holds Python objects, which are not read (allow_pickle=False); where you trust the file: "
        + _conversion(f"np.load({str(path)!r}, allow_pickle=True)", what)
    )


def from_torch(path: Path, what: str) -> Tensor:
    """The tensor in the file, or the only one of a dictionary, or the one called ``what``."""
    try:
        refuse_bomb(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, Bomb):
        raise
    except pickle.UnpicklingError:
        raise InputError(
            "PyTorch does not read it without running code from it; where you trust the file: "
            + _conversion(
                f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)", what
            )
        ) from None
    except Exception as error:  # torch raises whatever a damaged or foreign file leads it to
        raise InputError(f"it is damaged, or no PyTorch file ({_first_line(error)})") from None
    if isinstance(found, Mapping):
        tensors = {str(k): value for k, value in found.items() if isinstance(value, Tensor)}
        found = tensors[the_one(list(tensors), what)]
    if not isinstance(found, Tensor):
        raise InputError(
            f"it holds {_article(found)}, not a tensor or a dictionary of tensors; save the {what} "
            "alone, as one tensor"
        )
    if found.layout != torch.strided or found.is_quantized:
        raise InputError("it holds a sparse or quantised tensor; expected a dense one")
    return found.detach()


def the_one(names: list[str], what: str) -> str:
    """``what`` where it is there, else the only name. Raises :class:`InputError` with all names."""
    if what in names:
        return what
    if len(names) == 1:
        return names[0]
    shown = ", ".join(sorted(names)[:12]) + (", ..." if len(names) > 12 else "")
    raise InputError(f"it must hold one array, or one called {what!r}; it holds: {shown or 'none'}")


def _article(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[:1] in 'aeiouAEIOU' else 'a'} {kind}"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _conversion(load: str, what: str) -> str:
    """The line that writes ``what.npy``, from a dictionary of that name or from the array itself."""
    numpy = load.startswith("np.")
    of_dict = f"o['{what}'] if isinstance(o, dict) else o"
    if numpy:
        of_dict = f"o['{what}'] if hasattr(o, 'files') else o"
        array = f"np.array(({of_dict}).tolist(), dtype=float)"
    else:
        array = f"torch.as_tensor({of_dict}).detach().double().numpy()"
    modules = "numpy as np" if numpy else "numpy as np, torch"
    return f"python -c \"import {modules}; o = {load}; np.save('{what}.npy', {array})\""
