"""Features kept piece by piece while they are extracted, so that an interrupted extraction goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ltbench.errors import DataError, InputError
from ltbench.files import read_json, write_atomically, write_json

PIECE = 1000
"""Images of a piece: what an interruption costs at most."""
_REQUEST, _FEATURES, _DIGEST = "request.json", "features", "sha256"


def make_folder(folder: Path) -> None:
    """Raises :class:`InputError`, one line, where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {folder} cannot be made: {error.strerror or error}") from error


class Pieces:
    """Pieces of one extraction in ``folder``; those of another one are refused, never mixed in.

    request: whatever decides the features, as JSON. Raises :class:`InputError`, one line, where the
    folder holds pieces of another request.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any]) -> None:
        self.folder = folder
        self.kept = self.damaged = 0
        known = folder / _REQUEST
        if known.exists():
            found = read_json(known)
            if found != request:
                raise InputError(
                    f"{folder} holds pieces of another extraction ({_difference(found, request)}); "
                    "remove it or give another -o"
                )
        else:
            write_json(known, request)

    def load(self, part: str, start: int, count: int) -> Tensor | None:
        """The piece of ``count`` images from ``start`` on, checked; None where it must be made (again)."""
        path = self._path(part, start)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                digest = (file.metadata() or {}).get(_DIGEST)
                features: Tensor = file.get_tensor(_FEATURES)
        except (SafetensorError, OSError):
            features, digest = torch.zeros(0), ""
        if len(features) != count or _digest(features) != digest:
            self.damaged += 1
            return None
        return features

    def save(self, part: str, start: int, features: Tensor) -> Tensor:
        """Stores float ``features`` (B, D) or (B, E, D) as float16, which it returns."""
        stored = features.to(torch.float16).contiguous()
        metadata = {_DIGEST: _digest(stored)}
        write_atomically(
            self._path(part, start),
            lambda path: save_file({_FEATURES: stored}, path, metadata=metadata),
        )
        return stored

    def get(self, part: str, start: int, count: int) -> Tensor:
        """As :meth:`load`, of one that was made."""
        found = self.load(part, start, count)
        if found is None:
            raise DataError(
                f"{self._path(part, start)} is damaged; the same command makes it again"
            )
        return found

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _path(self, part: str, start: int) -> Path:
        return self.folder / f"{part}.{start:09d}.safetensors"


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.contiguous().numpy().tobytes()).hexdigest()


def _difference(found: object, wanted: Mapping[str, Any]) -> str:
    """The first key that differs, with both values."""
    own = found if isinstance(found, Mapping) else {}
    for key, value in wanted.items():
        if own.get(key) != value:
            if isinstance(value, Mapping) and isinstance(own.get(key), Mapping):
                return _difference(own[key], value)
            return f"{key} {own.get(key)!r}, asked is {value!r}"
    return "more settings"
