"""Running a frozen encoder over uint8 images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ltbench.data.dataset import Images
from ltbench.encoders.load import Chosen
from ltbench.encoders.preprocess import preprocess
from ltbench.errors import ContractError, DataError, LtbenchError, describe

FLOAT16 = torch.finfo(torch.float16).max
CPU_BATCH, ACCELERATOR_BATCH = 64, 256


class Encode:
    """``(B, 3, S, S)`` uint8 to float32 ``(B, D)`` or ``(B, E, D)`` on the CPU, by batches of ``batch``."""

    def __init__(self, chosen: Chosen, device: torch.device, batch: int | None = None) -> None:
        self.chosen, self.device = chosen, device
        self.batch = batch or (CPU_BATCH if device.type == "cpu" else ACCELERATOR_BATCH)
        self.network = chosen.loaded.network.eval().requires_grad_(False).to(device)

    def __call__(self, images: Images) -> Tensor:
        """Raises :class:`ContractError` for what is no features, :class:`DataError` for a number that
        float16 cannot hold; one line each."""
        parts = [self._batch(part) for part in _batches(images, self.batch)]
        return torch.cat(parts)

    def _batch(self, images: Images) -> Tensor:
        made = preprocess(
            torch.from_numpy(images).to(self.device), self.chosen.loaded.preprocessing
        )
        try:
            with torch.inference_mode():
                found = self.network(made)
        except LtbenchError:
            raise
        except Exception as error:  # a network of any library
            raise ContractError(
                f"encoder {self.chosen.name} failed on images of {made.shape[-1]} pixels: "
                f"{describe(error)}"
            ) from error
        if not isinstance(found, Tensor) or found.ndim not in (2, 3) or len(found) != len(images):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ContractError(
                f"encoder {self.chosen.name} gave {got} for {len(images)} images; expected (B, D)"
            )
        features = found.float().cpu()
        if not bool(torch.isfinite(features).all()):
            raise DataError(
                f"encoder {self.chosen.name} gave NaN or infinity; features must be finite"
            )
        if features.numel() and float(features.abs().max()) > FLOAT16:
            raise DataError(
                f"encoder {self.chosen.name} gave {features.abs().max():g}, beyond float16 "
                f"({FLOAT16:g}); features are stored so"
            )
        return features


def _batches(images: Images, size: int) -> Iterator[Images]:
    for start in range(0, len(images), size):
        yield np.ascontiguousarray(images[start : start + size])
