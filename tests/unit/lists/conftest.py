"""Small sets of image files with their lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltbench.data.digits import load_digits

WriteDigits = Callable[..., Path]

DIGITS = """
extends = "digits-lt"
name = "{name}"
version = "1.0"
title = "Digits"
[data]
{data}
mean = [0.3, 0.3, 0.3]
std = [0.38, 0.38, 0.38]
[groups]
many_above = 40
few_below = 10
[recipe]
epochs = {epochs}
{recipe}
"""
LISTS = """source = "lists"
classes = 10
image_size = 8
[data.lists]
train = { file = "train.txt" }
test = { file = "test.txt" }
[data]"""


def write_digits(root: Path) -> Path:
    """The digits as PNG files, which lose nothing, with their lists; the folder of the images."""
    splits = load_digits()
    for split in ("train", "test"):
        images = getattr(splits, split)
        (root / split).mkdir(parents=True)
        lines = []
        for i in range(len(images)):
            name = f"{split}/{i:04d}.png"
            pixels = images.read([i])[0].transpose(1, 2, 0)
            Image.fromarray(np.ascontiguousarray(pixels)).save(root / name)
            lines.append(f"{name} {images.labels[i]}\n")
        (root / f"{split}.txt").write_text("".join(lines))
    return root


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"))
