"""From uint8 images to what an encoder takes, on the device and in one way for every library."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.encoder import Preprocessing
from ltbench.errors import InputError
from ltbench.train.augment import normalise

_PLAIN = "nearest"


def check(made: Preprocessing, image_size: int) -> None:
    """Raises :class:`InputError`, one line, where the crop does not fit into images of ``image_size``."""
    side = made.resize or image_size
    if made.resize < 0 or made.crop < 0 or made.crop > side:
        raise InputError(
            f"--crop {made.crop} must be 0 (all) to {side}, the size that images of {image_size} pixels "
            f"have then (--resize {made.resize})"
        )


def preprocess(images: Tensor, made: Preprocessing) -> Tensor:
    """``(B, 3, H, H)`` uint8 to ``(B, 3, S, S)`` float32, channels last; see :class:`Preprocessing`.

    With antialias values differ from those of PIL's resize by one at most, since that computes with
    fixed-point weights.
    """
    side = made.resize or images.shape[-1]
    if side != images.shape[-1]:
        images = _resized(images.float(), side, made).to(torch.uint8)
    crop = made.crop or side
    start = round((side - crop) / 2)
    images = images[:, :, start : start + crop, start : start + crop]
    mean, std = (torch.tensor(v, device=images.device) for v in (made.mean, made.std))
    return normalise(images, mean, std)


def _resized(images: Tensor, side: int, made: Preprocessing) -> Tensor:
    """Float whole numbers 0..255 to the same, of ``side`` pixels."""
    if made.interpolation == _PLAIN:
        return F.interpolate(images, (side, side), mode="nearest-exact")
    # With antialias as PIL does it: rows first, then columns, whole numbers in between.
    first = [(images.shape[-2], side)] if made.antialias else []
    for size in (*first, (side, side)):
        images = F.interpolate(
            images, size, mode=made.interpolation, align_corners=False, antialias=made.antialias
        )
        images = images.round_().clamp_(0, 255)
    return images
