"""The strong view: crop and flip of the recipe, then AutoAugment (CIFAR policies) and Cutout.

AutoAugment: Cubuk et al. 2019, the 25 policies and strengths for CIFAR-10 as torchvision has them,
nearest neighbour, black fill. Cutout: DeVries and Taylor 2017, one square of half the side, its centre
any pixel, cut off at the border, black. The order is that of the published code of PaCo, NCL and MDCS.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ltbench.protocol.protocol import Recipe
from ltbench.train.augment import Augmenter, Draws

_BINS = 10
_SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_SIGNED_TOO = ("Brightness", "Color", "Contrast", "Sharpness")


class StrongDraws(NamedTuple):
    """The strong view of ``n`` images; all but ``moved`` on the CPU. ``draws.part(batch)`` is a batch's."""

    moved: Draws
    """Crop and flip."""
    policy: Tensor
    """(n,) int64, which of the 25."""
    chance: Tensor
    """(n, 2) float32 in [0, 1): an operation is applied where it is at most its probability."""
    negative: Tensor
    """(n, 2) bool, the sign of a strength that has one."""
    centre: Tensor
    """(n, 2) int64, row and column of the square that is cut out."""

    def part(self, batch: slice) -> StrongDraws:
        return StrongDraws(
            self.moved[batch],
            self.policy[batch],
            self.chance[batch],
            self.negative[batch],
            self.centre[batch],
        )


class StrongAugmenter:
    """Strong views of square images of ``image_size`` pixels on ``device``."""

    def __init__(self, recipe: Recipe, image_size: int, device: torch.device) -> None:
        from torchvision.transforms import AutoAugment, AutoAugmentPolicy  # a second: where needed

        self._move = Augmenter(dataclasses.replace(recipe, rotation=0.0), image_size, device)
        self._policies = AutoAugment(AutoAugmentPolicy.CIFAR10).policies
        self._strengths = strengths(image_size)
        self._size, self._device = image_size, device

    def draw(self, n: int, generator: torch.Generator) -> StrongDraws:
        """Draws for ``n`` images from a CPU generator."""
        return StrongDraws(
            self._move.draw(n, generator),
            torch.randint(len(self._policies), (n,), generator=generator),
            torch.rand(n, 2, generator=generator),
            torch.rand(n, 2, generator=generator) < 0.5,
            torch.randint(self._size, (n, 2), generator=generator),
        )

    def apply(self, images: Tensor, draws: StrongDraws) -> Tensor:
        """(B,3,S,S) uint8 -> the same on the device; waits for no device, changes no input."""
        pixels = self._move.apply(images, draws.moved).clone()
        for place in (0, 1):
            for (name, strength), rows in self._groups(draws, place).items():
                chosen = torch.tensor(rows, device=self._device)
                pixels[chosen] = _operation(name, strength)(pixels[chosen])
        return self._cut_out(pixels, draws.centre.to(self._device))

    def _groups(self, draws: StrongDraws, place: int) -> dict[tuple[str, float], list[int]]:
        """Which images meet the same operation at the same strength: one call for all of them."""
        groups: dict[tuple[str, float], list[int]] = defaultdict(list)
        chances, negatives = draws.chance[:, place].tolist(), draws.negative[:, place].tolist()
        for i, policy in enumerate(draws.policy.tolist()):
            name, probability, level = self._policies[policy][place]
            if chances[i] > probability:
                continue
            strength = 0.0 if level is None else self._strengths[name][level]
            signed = name in _SIGNED or name in _SIGNED_TOO
            groups[name, -strength if signed and negatives[i] else strength].append(i)
        return groups

    def _cut_out(self, pixels: Tensor, centre: Tensor) -> Tensor:
        half = self._size // 4
        grid = torch.arange(self._size, device=self._device)
        low, high = centre.unsqueeze(2) - half, centre.unsqueeze(2) + half
        inside = (grid >= low) & (grid < high)  # (B, 2, S)
        return pixels * ~(inside[:, 0, :, None] & inside[:, 1, None, :]).unsqueeze(1)


def strengths(size: int) -> dict[str, list[float]]:
    """For each operation its strength at the ten levels, for images of ``size`` pixels."""

    def up_to(most: float) -> list[float]:
        return torch.linspace(0.0, most, _BINS).tolist()

    shift = up_to(150.0 / 331.0 * size)
    return {
        "ShearX": up_to(0.3),
        "ShearY": up_to(0.3),
        "TranslateX": shift,
        "TranslateY": shift,
        "Rotate": up_to(30.0),
        **{name: up_to(0.9) for name in _SIGNED_TOO},
        "Posterize": [8 - round(level / ((_BINS - 1) / 4)) for level in range(_BINS)],
        "Solarize": torch.linspace(255.0, 0.0, _BINS).tolist(),
    }


def _operation(name: str, strength: float) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import functional as F

    def moved(x: Tensor, shift: tuple[int, int], degrees: tuple[float, float]) -> Tensor:
        sheared = any(degrees)
        result: Tensor = F.affine(
            x, angle=0.0, translate=list(shift), scale=1.0, shear=list(degrees),
            fill=None, center=[0, 0] if sheared else None,
        )  # fmt: skip
        return result

    slant = math.degrees(math.atan(strength))
    operations: dict[str, Callable[[Tensor], Tensor]] = {
        "ShearX": lambda x: moved(x, (0, 0), (slant, 0.0)),
        "ShearY": lambda x: moved(x, (0, 0), (0.0, slant)),
        "TranslateX": lambda x: moved(x, (int(strength), 0), (0.0, 0.0)),
        "TranslateY": lambda x: moved(x, (0, int(strength)), (0.0, 0.0)),
        "Rotate": lambda x: F.rotate(x, strength),
        "Brightness": lambda x: F.adjust_brightness(x, 1.0 + strength),
        "Color": lambda x: F.adjust_saturation(x, 1.0 + strength),
        "Contrast": lambda x: F.adjust_contrast(x, 1.0 + strength),
        "Sharpness": lambda x: F.adjust_sharpness(x, 1.0 + strength),
        "Posterize": lambda x: F.posterize(x, int(strength)),
        "Solarize": lambda x: F.solarize(x, strength),
        "AutoContrast": F.autocontrast,
        "Equalize": F.equalize,
        "Invert": F.invert,
    }
    return operations[name]
