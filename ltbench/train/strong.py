"""Strong augmentation: AutoAugment's policy for CIFAR-10 and Cutout, on whole batches of uint8 images.

As the long-tail codes have it (``data_loader/autoaug.py`` of MDCS; the same file in PaCo, NCL and
BalPoE; papers: Cubuk et al. 2019, DeVries and Taylor 2017): one of 25 pairs of operations an image,
each of the pair with a probability of its own; magnitudes other than a rotation's get a random sign;
shears are cubic, the rest nearest neighbour, what is uncovered is grey. Cutout then blackens a
square of half the side, 16 pixels at 32, whose centre may be any pixel, so that it may be cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ltbench.train import operations
from ltbench.train.operations import Operation, fixed_point, rotate_by

AUTOAUGMENT, CUTOUT = "autoaugment", "cutout"
STRONG = f"{AUTOAUGMENT}+{CUTOUT}"

OPERATIONS = (
    "shearX",
    "shearY",
    "translateX",
    "translateY",
    "rotate",
    "color",
    "contrast",
    "brightness",
    "sharpness",
    "posterize",
    "solarize",
    "invert",
    "autocontrast",
    "equalize",
)

POLICY = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translateX", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shearY", 0.5, 8), ("translateY", 0.7, 9)),
    (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shearY", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translateX", 0.5, 8)),
    (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
    (("translateY", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)),
    (("translateY", 0.9, 9), ("translateY", 0.7, 9)),
    (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translateY", 0.7, 9), ("autocontrast", 0.9, 1)),
)
"""Pairs of (operation, probability, level 0 to 9)."""

_LEVELS = 10
_NOWHERE = -(1 << 20)
"""A centre whose square lies outside every image."""


def magnitudes(name: str, size: int) -> Tensor:
    """(10,) float64: the magnitude of each level of an operation, before its sign."""
    shift = np.linspace(0, 150 / 331, _LEVELS) * size  # pixels
    of = {
        "shearX": np.linspace(0, 0.3, _LEVELS),
        "shearY": np.linspace(0, 0.3, _LEVELS),
        "translateX": shift,
        "translateY": shift,
        "rotate": np.linspace(0, 30, _LEVELS),  # degrees counter-clockwise
        "posterize": np.round(np.linspace(8, 4, _LEVELS)),
        "solarize": np.linspace(256, 0, _LEVELS),
        **dict.fromkeys(
            ("color", "contrast", "brightness", "sharpness"), np.linspace(0, 0.9, _LEVELS)
        ),
    }
    return torch.from_numpy(of.get(name, np.zeros(_LEVELS)))


def _values(name: str, size: int) -> Tensor:
    """(2, 10) float64: what the operation is given, by sign (minus, plus) and level."""
    found = magnitudes(name, size)
    if name in ("shearX", "shearY", "translateX", "translateY"):
        return torch.stack((-found, found))
    if name in ("color", "contrast", "brightness", "sharpness"):
        return torch.stack((1 - found, 1 + found))
    if name == "rotate":  # a row of its table, see rotate_by
        found = torch.arange(_LEVELS, dtype=torch.float64)
    return torch.stack((found, found))


def _rotation_steps(size: int) -> Tensor:
    degrees = magnitudes("rotate", size).tolist()
    radians = torch.tensor([-math.radians(each) for each in degrees], dtype=torch.float64)
    cos, sin = radians.cos().round(decimals=15), radians.sin().round(decimals=15)
    return torch.stack((fixed_point(cos, sin, size), fixed_point(-sin, cos, size)), dim=1)


class Strong:
    """Strong augmentation of square images of ``size`` pixels on ``device``."""

    def __init__(
        self, size: int, device: torch.device, *, autoaugment: bool = True, cutout: bool = True
    ) -> None:
        self._size, self._autoaugment, self._cutout = size, autoaugment, cutout
        self._values = torch.stack([_values(name, size) for name in OPERATIONS]).to(device)
        self._grid = torch.arange(size, device=device)
        self._operations: tuple[Operation, ...] = (
            operations.shear_x,
            operations.shear_y,
            operations.translate_x,
            operations.translate_y,
            rotate_by(_rotation_steps(size).to(device)),
            operations.color,
            operations.contrast,
            operations.brightness,
            operations.sharpness,
            operations.posterize,
            operations.solarize,
            operations.invert,
            operations.autocontrast,
            operations.equalize,
        )

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 2, 3) int32 on the CPU: the first and second operation (place in
        :data:`OPERATIONS`, -1 for none), each with its value (10 for plus, plus the level), and the
        column and row of the hole's centre.

        Every kind is drawn whether it is used or not: leaving one out does not change the others.
        """
        pair = torch.randint(len(POLICY), (n,), generator=generator)
        coin = torch.rand(n, 2, generator=generator)
        plus = torch.randint(2, (n, 2), generator=generator)
        centre = torch.randint(self._size, (n, 2), generator=generator)
        kind, probability, level = _policy()
        # Without AutoAugment no coin falls below; the draws of the hole stay where they were.
        used = (coin < probability[pair]) & self._autoaugment
        table = torch.empty(n, 2, 3, dtype=torch.int32)
        table[:, :, 0] = torch.where(used, kind[pair], -1).int()
        table[:, :, 1] = (plus * _LEVELS + level[pair]).int()
        table[:, :, 2] = (centre if self._cutout else torch.full_like(centre, _NOWHERE)).int()
        return table

    def apply(self, images: Tensor, table: Tensor) -> Tensor:
        """(B,3,S,S) uint8 -> the same; ``table``: (B, 2, 3) of :meth:`draw` on the images' device.

        Changes no input. On an accelerator it waits for nothing and its shapes depend on no data.
        """
        if self._autoaugment:
            for slot in range(2):
                images = self._slot(images, table[:, slot, 0], table[:, slot, 1])
        if self._cutout:
            images = images.masked_fill(self._hole(table[:, :, 2]), 0)
        return images

    def _slot(self, images: Tensor, kind: Tensor, value: Tensor) -> Tensor:
        """One operation of each image's pair: each image has at most one, so order does not matter."""
        result = images.clone()
        for place, operation in enumerate(self._operations):
            values = self._values[place].flatten()[value.long()].view(-1, 1, 1, 1)
            where(kind == place, operation, images, values, result)
        return result

    def _hole(self, centre: Tensor) -> Tensor:
        """(B, 1, S, S) bool: the square of half the side about ``centre`` (B, 2), column and row."""
        reach = self._size // 4
        low, high = centre[:, :, None] - reach, centre[:, :, None] + reach
        within = (self._grid >= low) & (self._grid < high)  # (B,2,S)
        return (within[:, 0, None, :] & within[:, 1, :, None]).unsqueeze(1)


def strong(images: Tensor, generator: torch.Generator) -> Tensor:
    """AutoAugment and Cutout of (B,3,S,S) uint8 images, drawn from a CPU ``generator``."""
    made = Strong(images.shape[-1], images.device)
    return made.apply(images, made.draw(len(images), generator).to(images.device))


def _policy() -> tuple[Tensor, Tensor, Tensor]:
    """Operation, probability and level of both of each pair, (25, 2) each."""

    def of(pick: Callable[[tuple[str, float, int]], float]) -> Tensor:
        return torch.tensor([[pick(each) for each in pair] for pair in POLICY])

    return of(lambda e: OPERATIONS.index(e[0])), of(lambda e: e[1]), of(lambda e: e[2])


def where(
    chosen: Tensor, operation: Operation, images: Tensor, values: Tensor, result: Tensor
) -> None:
    """Writes ``operation`` of the ``chosen`` images into ``result``.

    The CPU computes those alone; an accelerator, which would have to tell how many, computes all.
    """
    if _chooses_rows(images.device):
        rows = chosen.nonzero().flatten()
        if len(rows):
            result[rows] = operation(images[rows], values[rows])
    else:
        torch.where(chosen.view(-1, 1, 1, 1), operation(images, values), result, out=result)


def _chooses_rows(device: torch.device) -> bool:
    return device.type == "cpu"
