"""SimCLR's augmentation of CIFAR images, on whole batches of uint8 images, to the bits of Pillow.

As the contrastive long-tail codes have it (``ProCo_cifar/main.py`` of ProCo; paper: Chen et al. 2020),
by torchvision on PIL images: a crop of 8 to 100 % of the area, sides 3:4 to 4:3, enlarged to the whole
by bilinear interpolation; a flip with probability 1/2, where the recipe flips; with probability 0.8
brightness, contrast and saturation times 0.6 to 1.4 and the hue by up to a tenth of the circle, in
random order; grey with probability 0.2. No blur.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ltbench.train import operations
from ltbench.train.operations import Operation
from ltbench.train.strong import where

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
STRENGTH, HUE = 0.4, 0.1
JITTER, GREY = 0.8, 0.2
STEPS: tuple[Operation, ...] = (
    operations.brightness,
    operations.contrast,
    operations.color,
    operations.hue,
)
"""What changes colours; a value is a factor, for the hue a number of 255ths of the circle."""

_TRIES = 10
_BITS = 22
"""Of Pillow's fixed-point weights."""


class Simclr:
    """Augments square images of ``size`` pixels on ``device``; flip: whether the recipe flips."""

    def __init__(self, size: int, device: torch.device, *, flip: bool) -> None:
        self._size, self._flip = size, flip
        self._weights = torch.stack([weights(w, size) for w in range(1, size + 1)]).to(device)
        self._grid = torch.arange(size, device=device)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 14) float32 on the CPU: top, left, height and width of the crop; whether it flips; which of
        :data:`STEPS` comes first to fourth, -1 where none does; the four values; whether it is grey.

        Every kind is drawn whether it is used or not.
        """
        crop = crops(n, self._size, generator)
        coins = torch.rand(n, 3, generator=generator)
        order = torch.tensor(list(itertools.permutations(range(4))))
        order = order[torch.randint(len(order), (n,), generator=generator)]
        jitter = coins[:, 1:2] < JITTER
        strength = torch.tensor([STRENGTH] * 3 + [HUE])
        change = (2 * torch.rand(n, 4, generator=generator) - 1) * strength
        values = torch.cat([1 + change[:, :3], (255 * change[:, 3:].double()).trunc()], dim=1)
        flip = (coins[:, :1] < 0.5) & self._flip
        grey = coins[:, 2:] < GREY
        return torch.cat([crop, flip, torch.where(jitter, order, -1), values, grey], dim=1).float()

    def apply(self, images: Tensor, table: Tensor) -> Tensor:
        """(B,3,S,S) uint8 -> the same; ``table``: (B, 14) of :meth:`draw` on the images' device.

        Changes no input. On an accelerator it waits for nothing and its shapes depend on no data.
        """
        images = self._cropped(images, table[:, :4].long())
        images = torch.where(_each(table[:, 4]) > 0, images.flip(3), images)
        for slot in range(4):
            kind, result = table[:, 5 + slot], images.clone()
            for place, step in enumerate(STEPS):
                where(kind == place, step, images, _each(table[:, 9 + place]), result)
            images = result
        grey = operations.color(images, torch.zeros_like(_each(table[:, 13])))
        return torch.where(_each(table[:, 13]) > 0, grey, images)

    def _cropped(self, images: Tensor, crop: Tensor) -> Tensor:
        """Pillow's bilinear ``resize`` of a crop: columns, rounded to bytes, then rows."""
        for axis in (1, 0):
            start, length = crop[:, axis], crop[:, 2 + axis]
            source = (start[:, None] + self._grid).clamp_max(self._size - 1)  # (B,S)
            shape = (-1, 1, 1, self._size) if axis else (-1, 1, self._size, 1)
            cut = images.gather(3 if axis else 2, source.view(shape).expand_as(images)).double()
            weight = self._weights[length - 1].unsqueeze(1)  # (B,1,S to,S from)
            # Sums of whole numbers below 2^53: exact in any order.
            total = cut @ weight.transpose(2, 3) if axis else weight @ cut
            total = (total + (1 << (_BITS - 1))).div(1 << _BITS, rounding_mode="floor")
            images = total.clamp(0, 255).to(torch.uint8)
        return images


def crops(n: int, size: int, generator: torch.Generator) -> Tensor:
    """(n, 4) int64: top, left, height, width, as torchvision's ``RandomResizedCrop`` draws them.

    The first of ten tries that fits; the whole image where none does.
    """
    area = torch.empty(n, _TRIES).uniform_(*SCALE, generator=generator) * size**2
    bounds = [math.log(each) for each in RATIO]
    ratio = torch.empty(n, _TRIES).uniform_(*bounds, generator=generator).exp()
    places = torch.rand(n, 2, generator=generator)
    sides = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()], dim=2)
    fits = ((sides >= 1) & (sides <= size)).all(dim=2)
    first = fits.int().argmax(dim=1)
    chosen = sides[torch.arange(n), first]
    chosen = torch.where(fits.any(dim=1)[:, None], chosen, size).long()
    room = size - chosen + 1
    return torch.cat([(places * room).long().clamp_max(size - chosen), chosen], dim=1)


def weights(width: int, size: int) -> Tensor:
    """(size, size) float64 whole numbers: of each source pixel, of ``width``, in each of ``size`` >= width.

    Pillow's ``precompute_coeffs`` and ``normalize_coeffs_8bpc`` (``Resample.c``) for its bilinear
    filter, in units of 2^-22.
    """
    table = torch.zeros(size, size, dtype=torch.float64)
    scale = width / size
    for to in range(size):
        centre = (to + 0.5) * scale
        low, high = max(int(centre - 0.5), 0), min(int(centre + 1.5), width)
        raw = [max(0.0, 1 - abs(x - centre + 0.5)) for x in range(low, high)]
        total = sum(raw)
        for x, w in zip(range(low, high), raw, strict=True):
            table[to, x] = int(0.5 + w / total * (1 << _BITS))
    return table


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
