"""Augmentation: images a second, and whether the pixels are those of PIL."""

from __future__ import annotations

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.material import Material
from benchmarks.published import Published
from benchmarks.row import Row
from benchmarks.timing import Spread, rates, ratio
from ltbench.train.augment import (
    Augmenter,
    Draws,
    Parameters,
    draw_parameters,
    normalise,
    sampling_table,
)

EVERY = 2  # half of the training images a round: a second or two of the published pipeline
CHECKED = 2_000


def augmentation(material: Material, published: Published) -> Row:
    row = Row("augmentation", "Augmentation: crop, flip, rotation, normalisation")
    images, labels = material.train[::EVERY], material.train_labels[::EVERY]
    sample = len(images)
    stack = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    mean, std = material.normalisation()
    augmenter = Augmenter(material.protocol.recipe, 32, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)

    def loader(workers: int) -> int:
        for _ in published.training_batches(images, labels, workers):
            pass
        return sample

    def ours() -> int:
        draws = augmenter.draw(sample, generator)
        order = torch.randperm(sample, generator=generator)
        for start in range(0, sample, 128):
            chosen = order[start : start + 128]
            normalise(augmenter.apply(stack[chosen], draws[start : start + 128]), mean, std)
        return sample

    found = rates(
        {"0 workers": lambda: loader(0), "2 workers": lambda: loader(2), "ltbench": ours},
        material.rounds,
    )
    for name, values in found.items():
        row.measured[name] = ("images/s", Spread.of(values))
    for workers in (0, 2):
        row.ratios[f"against {workers} workers"] = ratio(
            found["ltbench"], found[f"{workers} workers"]
        )
    row.checks[f"{CHECKED} images equal PIL's in every bit"] = _bit_exact(stack, material)
    row.notes.append(
        f"each round: {sample} images; worker processes start anew, as every epoch does"
    )
    return row


def _bit_exact(images: Tensor, material: Material) -> bool:
    recipe = material.protocol.recipe
    parameters = draw_parameters(recipe, CHECKED, torch.Generator().manual_seed(1))
    table = sampling_table(parameters, 32, recipe.crop_padding)
    augmenter = Augmenter(recipe, 32, torch.device("cpu"))
    ours = augmenter.apply(images[:CHECKED], Draws(table))
    return torch.equal(ours, _by_pil(images[:CHECKED], parameters, recipe.crop_padding))


def _by_pil(images: Tensor, parameters: Parameters, padding: int) -> Tensor:
    out = []
    for image, top, left, flip, angle in zip(images, *parameters, strict=True):
        picture = F.pad(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()), [padding])
        picture = F.crop(picture, int(top), int(left), 32, 32)
        picture = F.rotate(F.hflip(picture) if flip else picture, float(angle))
        out.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(out)
