"""Random resized crop, flip and colour jitter of one image of any size; Pillow defines the pixels.

Semantics (torchvision's RandomResizedCrop, RandomHorizontalFlip and ColorJitter on PIL images, as in
SADE's ``data_loader/data_loaders.py`` for ImageNet-LT): ten tries of a part of the image whose share of
the area is uniform in ``crop_scale`` and whose aspect ratio is log-uniform in 3/4..4/3, else the largest
middle part of an allowed ratio; bilinear and antialiased to ``image_size``; flip with probability 1/2;
brightness, contrast, saturation and hue by factors uniform in [max(0, 1 - s), 1 + s] (hue: [-s, s]
turns), in random order.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from ltbench.protocol.protocol import Recipe

RATIO = (3 / 4, 4 / 3)
_TRIES = 10
_ORDERS = tuple(itertools.permutations(range(4)))
_X, _Y, _FLIP, _FACTOR, _ORDER, UNIFORMS = 20, 21, 22, 23, 27, 28
"""Places in the uniform numbers of an image; the first twenty are area and ratio of each try."""
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
_HUE = 3


class Box(NamedTuple):
    """A part of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def uniforms(key: int, place: int) -> NDArray[np.float64]:
    """(28,) in [0, 1): those of the image at ``place`` of an epoch, whichever steps are on.

    A function of its arguments alone (Philox: Salmon et al. 2011), so that neither batches nor
    processes nor where an epoch is resumed change a draw. key: a 63-bit seed.
    """
    random = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, place]))
    return random.random(UNIFORMS)


def crop_box(
    width: int, height: int, u: NDArray[np.float64], scale: tuple[float, ...] = (0.08, 1.0)
) -> Box:
    """Where the crop of an image of ``width`` x ``height`` pixels lies; u: :func:`uniforms`."""
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    for attempt in range(_TRIES):
        area = width * height * (scale[0] + (scale[1] - scale[0]) * u[2 * attempt])
        ratio = math.exp(low + (high - low) * u[2 * attempt + 1])
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(u[_X] * (width - w + 1)), int(u[_Y] * (height - h + 1)), w, h)
    w, h = width, height
    if width / height < RATIO[0]:
        h = round(width / RATIO[0])
    elif width / height > RATIO[1]:
        w = round(height * RATIO[1])
    return Box((width - w) // 2, (height - h) // 2, w, h)


def augmented(image: Image.Image, size: int, recipe: Recipe, u: NDArray[np.float64]) -> Image.Image:
    """An RGB image as a training image of ``size`` pixels a side; u: :func:`uniforms`."""
    found = cropped(image, size, recipe.crop_scale, u)
    if recipe.flip and u[_FLIP] < 0.5:
        found = found.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return jittered(found, recipe.jitter, u) if recipe.jitter else found


def cropped(
    image: Image.Image, size: int, scale: tuple[float, ...], u: NDArray[np.float64]
) -> Image.Image:
    """A random part of an RGB image, as ``size`` pixels a side; u: :func:`uniforms`."""
    left, top, width, height = crop_box(*image.size, u, scale)
    # Cut before it is resized, as torchvision does: else pixels beside the crop would have a say.
    part = image.crop((left, top, left + width, top + height))
    return part.resize((size, size), Image.Resampling.BILINEAR)


def jitter_steps(strengths: tuple[float, ...], u: NDArray[np.float64]) -> list[tuple[int, float]]:
    """What changes, in its order, and by which factor: 0 brightness, 1 contrast, 2 saturation, 3 hue (turns).

    Strength 0 skips a step, as torchvision does: even a change of 0 rounds colours.
    """
    steps = []
    for step in _ORDERS[int(u[_ORDER] * len(_ORDERS))]:
        strength, draw = strengths[step], float(u[_FACTOR + step])
        if strength and step == _HUE:
            steps.append((step, strength * (2 * draw - 1)))
        elif strength:
            least = max(0.0, 1 - strength)
            steps.append((step, least + (1 + strength - least) * draw))
    return steps


def jittered(
    image: Image.Image, strengths: tuple[float, ...], u: NDArray[np.float64]
) -> Image.Image:
    """An RGB image with its colours changed by :func:`jitter_steps`."""
    for step, factor in jitter_steps(strengths, u):
        if step == _HUE:
            # Here, because importing it takes seconds and hardly any recipe turns hues.
            import torchvision.transforms.functional as F

            image = F.adjust_hue(image, factor)
        else:
            image = _ENHANCERS[step](image).enhance(factor)
    return image
