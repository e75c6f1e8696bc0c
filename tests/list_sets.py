"""Small sets of image files with their lists, made when a test asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ltbench.data.digits import load_digits
from ltbench.protocol.protocol import DataConfig, ListFile

MEAN, STD = (0.3, 0.3, 0.3), (0.38, 0.38, 0.38)
FILES = {"train": ListFile("train.txt"), "test": ListFile("test.txt")}
DIGITS = DataConfig("lists", 10, 8, mean=MEAN, std=STD, lists=FILES)


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


def write_gratings(root: Path, classes: int = 10, head: int = 40, test: int = 8) -> Path:
    """JPEG files of 24 to 48 pixels a side: a grating a class (its direction and colour) under noise.

    Long-tailed at imbalance 10, the head not class 0, the training list in random order; among the
    training images are a grey and a CMYK file.
    """
    rng = np.random.RandomState(0)
    order = rng.permutation(classes)
    counts = [max(4, int(head * 10 ** (-place / (classes - 1)))) for place in order]
    hues = rng.dirichlet([1, 1, 1], classes) * 1.6
    for split, many in (("train", counts), ("test", [test] * classes)):
        lines = []
        for label in range(classes):
            (root / split / f"n{label:04d}").mkdir(parents=True)
            for i in range(many[label]):
                width, height = rng.randint(24, 49, 2)
                y, x = np.mgrid[0:height, 0:width] / 48
                turn = np.pi * label / classes + rng.normal(0, 0.05)
                phase = rng.uniform(0, 2 * np.pi)
                wave = np.sin(6 * np.pi * (np.cos(turn) * x + np.sin(turn) * y) + phase) / 2 + 0.5
                noise = rng.normal(60, 20, (height, width, 1))
                pixels = 150 * wave[..., None] * hues[label] + noise
                image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                if split == "train" and i == 0 and label < 2:
                    image = image.convert(("L", "CMYK")[label])
                name = f"{split}/n{label:04d}/{i:03d}.JPEG"
                image.save(root / name, "JPEG", quality=88)
                lines.append(f"{name} {label}\n")
        shuffled = rng.permutation(len(lines)) if split == "train" else range(len(lines))
        (root / f"{split}.txt").write_text("".join(lines[i] for i in shuffled))
    return root
