"""Training augmentation of whole batches of uint8 images: crop, flip and rotation in one gather.

Where the recipe asks for more (``augment``), :mod:`ltbench.train.strong` follows.

Semantics (SADE, ``data_loader/cifar_data_loaders.py``; torchvision on PIL images):
``RandomCrop(size, padding)`` with black padding, ``RandomHorizontalFlip(0.5)``,
``RandomRotation(degrees)`` (nearest neighbour, no enlargement, black fill). All three only move
pixels, so each output pixel is one source pixel or black, and their composition is one integer
computation of where to read. It follows ``Image.rotate`` and ``affine_fixed`` of Pillow
(``Image.py``, ``libImaging/Geometry.c``: 16.16 fixed point), hence the same bits. The one freedom
left is the last digit of the machine's cosine, which can move a coefficient by 2^-16 pixel about
once in 10^9 images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ltbench.protocol.protocol import Recipe
from ltbench.train.operations import ONE, fixed_point
from ltbench.train.strong import AUTOAUGMENT, CUTOUT, Strong


class Parameters(NamedTuple):
    """What is random about the augmentation of ``n`` images."""

    top: Tensor
    """(n,) int64, first row of the crop in the padded image, 0 to ``2 * padding``."""
    left: Tensor
    """(n,) int64, first column of the crop in the padded image."""
    flip: Tensor
    """(n,) bool."""
    angle: Tensor
    """(n,) float32, degrees counter-clockwise in [-rotation, rotation]."""


@dataclass(frozen=True)
class Draws:
    """The augmentation of ``n`` images, ready to apply; ``draws[start:stop]`` is that of a batch.

    ``table`` is (n, 2, 5) int32: for the source's x and y its step to the next output column, step
    to the next output row and value at output pixel (0, 0), all three in 1/65536 pixel, then the
    first and the last source pixel that the crop holds. With strong augmentation it is (n, 2, 8):
    the last three are :meth:`ltbench.train.strong.Strong.draw`'s.
    """

    table: Tensor

    def __len__(self) -> int:
        return int(self.table.shape[0])

    def __getitem__(self, batch: slice) -> Draws:
        return Draws(self.table[batch])


class Augmenter:
    """Augments square images of ``image_size`` pixels on ``device`` as ``recipe`` says."""

    def __init__(self, recipe: Recipe, image_size: int, device: torch.device) -> None:
        self._recipe = recipe
        self._size = image_size
        self._device = device
        self._identity = not (recipe.crop_padding or recipe.flip or recipe.rotation)
        wanted = recipe.augment.split("+")
        self._strong = (
            Strong(image_size, device, autoaugment=AUTOAUGMENT in wanted, cutout=CUTOUT in wanted)
            if recipe.augment
            else None
        )
        self._grid = torch.arange(image_size, dtype=torch.int32, device=device)

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """Draws for ``n`` images, an epoch's at once, so that the batch size changes nothing.

        ``generator`` lives on the CPU: every device sees the same augmentation.
        """
        if self._identity:
            table = torch.empty(n, 2, 5, dtype=torch.int32)
        else:
            parameters = draw_parameters(self._recipe, n, generator)
            table = sampling_table(parameters, self._size, self._recipe.crop_padding)
        if self._strong is not None:  # drawn last: what comes before is as without it
            table = torch.cat((table, self._strong.draw(n, generator)), dim=2)
        return Draws(table.to(self._device))

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """(B,C,S,S) uint8 -> (B,C,S,S) uint8; waits for no device, changes no input.

        Where the recipe augments nothing the input itself is returned. Raises ``ValueError`` where
        images are not uint8, not of the announced size, or not as many as ``draws``.
        """
        size = self._size
        if images.dtype != torch.uint8 or images.shape[2:] != (size, size):
            got = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be uint8 (B, C, {size}, {size}), not {got}")
        if len(draws) != len(images):
            raise ValueError(f"{len(draws)} draws for {len(images)} images")
        moved = images if self._identity else self._move(images, draws.table[:, :, :5])
        return moved if self._strong is None else self._strong.apply(moved, draws.table[:, :, 5:])

    def _move(self, images: Tensor, table: Tensor) -> Tensor:
        """Crop, flip and rotation, by a ``table`` (B, 2, 5)."""
        size = self._size
        step_x, step_y, offset, low, high = table.unsqueeze(3).unbind(2)  # each (B,2,1)
        columns = (step_x * self._grid + offset).unsqueeze(2)
        rows = (step_y * self._grid).unsqueeze(3)
        source = (columns + rows).bitwise_right_shift_(16)  # (B,2,S,S): x and y to read from
        # A sign bit in either difference means outside; integers keep every step vectorised.
        outside = (source - low.unsqueeze(3)).bitwise_or_(high.unsqueeze(3) - source)
        inside = (outside[:, 0] | outside[:, 1]) >= 0
        index = (source[:, 1] * size).add_(source[:, 0]).mul_(inside)  # outside: any valid pixel
        batch, channels = images.shape[:2]
        expanded = index.long().view(batch, 1, size * size).expand(-1, channels, -1)
        pixels = images.flatten(2).gather(2, expanded).view(images.shape)
        return pixels.mul_(inside.unsqueeze(1))


def draw_parameters(recipe: Recipe, n: int, generator: torch.Generator) -> Parameters:
    """Random parameters of ``n`` images from a CPU generator.

    Every kind is drawn, in the same order, whether the recipe uses it or not: switching one off
    does not change the others.
    """
    top = torch.randint(0, 2 * recipe.crop_padding + 1, (n,), generator=generator)
    left = torch.randint(0, 2 * recipe.crop_padding + 1, (n,), generator=generator)
    coin = torch.rand(n, generator=generator) < 0.5
    angle = torch.empty(n).uniform_(-recipe.rotation, recipe.rotation, generator=generator)
    return Parameters(top, left, coin & recipe.flip, angle)


def sampling_table(parameters: Parameters, size: int, padding: int) -> Tensor:
    """(n, 2, 5) int32: :attr:`Draws.table` for images of ``size`` pixels, padded by ``padding``."""
    angle = parameters.angle.double().remainder(360.0)
    radians = -(angle * (math.pi / 180))  # in this order, as Python's math.radians
    cos, sin = radians.cos().round(decimals=15), radians.sin().round(decimals=15)
    x, y = fixed_point(cos, sin, size), fixed_point(-sin, cos, size)
    # A flip reads at size - 1 - (v >> 16), which is (size * 65536 - 1 - v) >> 16.
    x = torch.where(parameters.flip[:, None], torch.tensor([0, 0, size * ONE - 1]) - x, x)
    shift = torch.stack((parameters.left, parameters.top), dim=1) - padding
    table = torch.empty(len(angle), 2, 5, dtype=torch.int32)
    table[:, :, :3] = torch.stack((x, y), dim=1)
    table[:, :, 2] += shift * ONE
    # Outside the crop is black even where the image has a pixel, and so is the padding.
    table[:, :, 3] = shift.clamp(min=0)
    table[:, :, 4] = (shift + size - 1).clamp(max=size - 1)
    return table


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """``((images / 255) - mean) / std``: (B,3,H,W) uint8 -> float32 in channels-last layout.

    ``mean`` and ``std`` are (3,) float32 on the images' device, in units of the full range [0, 1].
    """
    channel = (1, -1, 1, 1)
    # Not the number 255: CUDA would multiply by its reciprocal, which rounds otherwise.
    scaled = images.float().div_(torch.full_like(std, 255.0).view(channel))
    scaled = scaled.sub_(mean.view(channel)).div_(std.view(channel))
    return scaled.contiguous(memory_format=torch.channels_last)
