"""Crop, flip, rotation and normalisation of a batch as one function that a compiler makes one kernel of.

Bit for bit what :meth:`Augmenter.apply` and :func:`normalise` give one after the other. Normalisation maps
256 bytes of a channel to 256 numbers, so it is read from a table that :func:`normalise` itself has filled:
a compiled division need not round as the eager one does, a table does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.train.augment import Draws, normalise
from ltbench.train.compiling import compiled


class OneKernel:
    """``(B, 3, S, S)`` uint8 and their draws to ``(B, 3, S, S)`` float32 in channels-last layout.

    mean, std: (3,) float32 on the device.
    """

    def __init__(self, image_size: int, mean: Tensor, std: Tensor) -> None:
        bytes_ = torch.arange(256, dtype=torch.uint8, device=mean.device)
        self.values = normalise(bytes_.view(1, 1, 1, 256).expand(1, 3, 1, 256), mean, std).reshape(
            -1
        )
        self.grid = torch.arange(image_size, dtype=torch.int32, device=mean.device)
        self.channels = 256 * torch.arange(3, device=mean.device).view(1, 3, 1)
        self.function = compiled(moved_and_normalised)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        return self.function(images, draws.table[:, :, :5], self.grid, self.channels, self.values)


def moved_and_normalised(
    images: Tensor, table: Tensor, grid: Tensor, channels: Tensor, values: Tensor
) -> Tensor:
    """table: (B, 2, 5) int32, :attr:`Draws.table`; grid: (S,) int32, 0 to S - 1; channels: (1, 3, 1) int64,
    where in ``values``, (768,) float32, the 256 numbers of a channel begin."""
    size, batch = len(grid), len(images)
    step_x, step_y, offset, low, high = table.unsqueeze(3).unbind(2)  # each (B,2,1)
    columns = (step_x * grid + offset).unsqueeze(2)
    rows = (step_y * grid).unsqueeze(3)
    source = (columns + rows) >> 16  # (B,2,S,S): x and y to read from
    outside = (source - low.unsqueeze(3)) | (high.unsqueeze(3) - source)
    inside = (outside[:, 0] | outside[:, 1]) >= 0
    index = torch.where(inside, source[:, 1] * size + source[:, 0], 0).long()
    index = index.view(batch, 1, size * size).expand(-1, 3, -1)
    pixels = images.flatten(2).gather(2, index)
    pixels = torch.where(inside.view(batch, 1, size * size), pixels, 0).long()
    found = values[pixels + channels].view(images.shape)
    return found.contiguous(memory_format=torch.channels_last)
