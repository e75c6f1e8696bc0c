"""Arrays that a program hands over in the place of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import InputError


@dataclass(frozen=True, eq=False)
class InMemory:
    """An array-like: a tensor on any device, a NumPy array, nested lists, a data frame."""

    value: object

    def tensor(self, what: str) -> Tensor:
        """A copy on the CPU. Raises :class:`InputError` where ``value`` is no array of numbers."""
        if isinstance(self.value, Tensor):
            found = self.value.detach().to("cpu", copy=True)
            if found.dtype in (torch.bfloat16, torch.float16):
                found = found.float()
        else:
            try:
                array = np.array(self.value)
            except (ValueError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{what} is no array of numbers: {reason}") from None
            if array.dtype.kind not in "fiub":
                raise InputError(f"{what} must hold numbers, not {array.dtype}")
            native = array.astype(
                array.dtype.newbyteorder("=")
            )  # torch knows no foreign byte order
            found = torch.from_numpy(np.ascontiguousarray(native)).reshape(array.shape)
        if found.numel() == 0:
            raise InputError(f"{what} is an empty array {tuple(found.shape)}")
        return found


Source: TypeAlias = Path | InMemory


def source_name(what: str, source: Source) -> str:
    """How messages call it: ``logits file z.npy``, ``the array logits``."""
    return f"the array {what}" if isinstance(source, InMemory) else f"{what} file {source}"
