"""Running the trained network over images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ltbench.data.dataset import Dataset, Images
from ltbench.errors import ContractError
from ltbench.train.augment import normalise

BATCH = 128
"""Measured: larger batches are slower on a CPU, since activations fall out of its cache."""
ACCELERATOR_BATCH = 1000


class Inference:
    """A network with its normalisation; logits are float32 whatever it was trained in."""

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, device: torch.device) -> None:
        self.network = network.eval().to(device)
        self.device = device
        self.mean, self.std = mean.to(device), std.to(device)
        self.batch = BATCH if device.type == "cpu" else ACCELERATOR_BATCH

    def __call__(
        self,
        read: Callable[[slice], Images],
        count: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Tensor:
        """Logits ``(N, E, C)`` on the CPU of ``count`` uint8 images that ``read`` gives by slices."""
        parts = []
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, count, self.batch):
                chosen = slice(start, min(start + self.batch, count))
                images = torch.from_numpy(np.array(read(chosen))).to(self.device)
                parts.append(self.network(normalise(images, self.mean, self.std)).float().cpu())
                progress(chosen.stop, count)
        logits = torch.cat(parts)
        if not torch.isfinite(logits).all():
            raise ContractError("the trained network gives logits that are not finite")
        return logits

    def dataset(
        self, dataset: Dataset, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Tensor:
        """Logits ``(N, E, C)`` of every image of ``dataset``, without augmentation."""
        return self(
            lambda chosen: dataset.read(np.arange(chosen.start, chosen.stop)),
            len(dataset),
            progress,
        )
