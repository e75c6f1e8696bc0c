"""A folder of features, written file by file; the header comes last, so half a folder has none."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ltbench.errors import DataError
from ltbench.features.header import FLOAT, HEADER, WHOLE, Header, TensorEntry
from ltbench.files import write_json
from ltbench.trial.tensor_file import Pieces, write_pieces

_NAMES = {torch.float16: FLOAT, torch.int64: WHOLE}
_LARGEST = torch.finfo(torch.float16).max


class FolderWriter:
    """Writes into ``path``, which is made. Files one after another, then :meth:`finish`.

    Whatever header lay there before is removed by the first file: nothing describes files that changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tensors: dict[str, dict[str, TensorEntry]] = {}
        self._bytes: dict[str, int] = {}

    def file(self, name: str, tensors: Mapping[str, Pieces | Tensor]) -> None:
        """One file, whole or not at all.

        tensors: float of any width, which becomes float16, or int64; :class:`Pieces` (their ``dtype``
        float16 or int64) where a tensor does not fit into memory. Raises :class:`DataError`, one line,
        for a number that is NaN, infinite or beyond float16.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / HEADER).unlink(missing_ok=True)
        digests = {key: hashlib.sha256() for key in tensors}
        whole = {
            key: Pieces.whole(_stored(value, f"{name}: {key}"))
            if isinstance(value, Tensor)
            else value
            for key, value in tensors.items()
        }

        def told(key: str, pieces: Pieces) -> Iterator[Tensor]:
            for part in pieces.parts:
                stored = _stored(part, f"{name}: {key}")
                little = stored.numpy().astype(stored.numpy().dtype.newbyteorder("<"), copy=False)
                digests[key].update(np.ascontiguousarray(little).data)
                yield stored

        passed = {
            key: Pieces(pieces.shape, pieces.dtype, told(key, pieces))
            for key, pieces in whole.items()
        }
        write_pieces(self.path / name, passed)
        self._tensors[name] = {
            key: TensorEntry(pieces.shape, _NAMES[pieces.dtype], digests[key].hexdigest())
            for key, pieces in whole.items()
        }
        self._bytes[name] = (self.path / name).stat().st_size

    def finish(self, header: Header) -> Header:
        """Writes ``header``, with what :meth:`file` wrote in place of its ``tensors`` and ``bytes``.

        Raises :class:`ltbench.errors.InputError` where these are not what it says.
        """
        whole = dataclasses.replace(header, tensors=self._tensors, bytes=self._bytes)
        whole.check_tensors()
        write_json(self.path / HEADER, whole.to_json())
        return whole


def _stored(part: Tensor, where: str) -> Tensor:
    part = part.detach().cpu()
    if not part.is_floating_point():
        return part.to(torch.int64).contiguous()
    if not torch.isfinite(part).all():
        raise DataError(f"{where} holds NaN or infinity; expected finite features")
    largest = part.abs().max().item() if part.numel() else 0.0
    if largest > _LARGEST:
        raise DataError(
            f"{where} holds {largest:g}, beyond float16 ({_LARGEST:g}); scale the features"
        )
    return part.to(torch.float16).contiguous()
