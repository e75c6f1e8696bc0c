"""Batched augmentation against torchvision's functions on PIL images, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torch import Tensor

from ltbench.protocol.protocol import Recipe
from ltbench.train.augment import (
    Augmenter,
    Draws,
    Parameters,
    draw_parameters,
    normalise,
    sampling_table,
)

CPU = torch.device("cpu")


def recipe(padding: int = 0, flip: bool = False, rotation: float = 0.0) -> Recipe:
    return Recipe(
        epochs=1, batch_size=1, lr=0.1, crop_padding=padding, flip=flip, rotation=rotation
    )


def noise(n: int, size: int, seed: int = 0) -> Tensor:
    """Values 1 to 255, so that black can only come from outside."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_by_one(images: Tensor, parameters: Parameters, padding: int) -> Tensor:
    """The published sequence of transforms, image after image."""
    out = []
    for image, top, left, flip, angle in zip(images, *parameters, strict=True):
        size = image.shape[-1]
        pil = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        if padding:
            pil = F.pad(pil, [padding], 0, "constant")
        pil = F.crop(pil, int(top), int(left), size, size)
        if flip:
            pil = F.hflip(pil)
        pil = F.rotate(pil, float(angle), F.InterpolationMode.NEAREST, False, None, [0.0, 0.0, 0.0])
        out.append(torch.from_numpy(np.array(pil)).permute(2, 0, 1))
    return torch.stack(out)


def apply(images: Tensor, parameters: Parameters, padding: int) -> Tensor:
    size = images.shape[-1]
    augmenter = Augmenter(recipe(padding, True, 180.0), size, CPU)
    return augmenter.apply(images, Draws(sampling_table(parameters, size, padding)))


@pytest.mark.parametrize("rotation", [0.0, 15.0, 180.0])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("size", [8, 13, 32])
def test_equals_pil(size: int, padding: int, flip: bool, rotation: float) -> None:
    n = 200
    chosen = recipe(padding, flip, rotation)
    images = noise(n, size)
    before = images.clone()
    augmenter = Augmenter(chosen, size, CPU)
    got = augmenter.apply(images, augmenter.draw(n, seeded(size)))
    parameters = draw_parameters(chosen, n, seeded(size))
    assert torch.equal(got, one_by_one(images, parameters, padding))
    assert torch.equal(images, before)
    assert got.dtype == torch.uint8


@pytest.mark.parametrize("size", [8, 13, 32])
def test_special_angles_equal_pil(size: int) -> None:
    """Multiples of 90 degrees, which PIL transposes, and their nearest neighbours."""
    exact = torch.tensor([0.0, 90.0, 180.0, -90.0, -180.0, 270.0, 45.0, -45.0, 30.0, 1e-20, -1e-20])
    near = torch.cat([torch.nextafter(exact, torch.tensor(sign)) for sign in (-1e9, 1e9)])
    angle = torch.cat([exact, near]).repeat_interleave(2)
    n = len(angle)
    flip = torch.arange(n) % 2 == 1
    parameters = Parameters(torch.arange(n) % 5, torch.arange(n) % 3, flip, angle)
    images = noise(n, size)
    assert torch.equal(apply(images, parameters, 2), one_by_one(images, parameters, 2))


def test_table_equals_the_arithmetic_of_pillow() -> None:
    """100,000 tables against Image.rotate's own scalar arithmetic."""
    n, size = 100_000, 32
    zero = torch.zeros(n, dtype=torch.int64)
    angle = torch.empty(n).uniform_(-180, 180, generator=seeded())
    table = sampling_table(Parameters(zero, zero, zero > 0, angle), size, 0)
    expected = []
    for degrees in angle.tolist():
        radians = -math.radians(degrees % 360.0)
        cos, sin = round(math.cos(radians), 15), round(math.sin(radians), 15)
        for a, b in ((cos, sin), (-sin, cos)):
            c = a * (-size / 2) + b * (-size / 2) + 0.0 + size / 2
            row = (a, b, c + a * 0.5 + b * 0.5)
            expected.append([math.floor(value * 65536.0 + 0.5) for value in row])
    assert torch.equal(table[:, :, :3].reshape(-1, 3), torch.tensor(expected, dtype=torch.int32))


def test_outside_the_crop_is_black_where_the_image_has_a_pixel() -> None:
    size, padding = 8, 4
    images = torch.full((1, 3, size, size), 255, dtype=torch.uint8)
    centred = torch.tensor([padding])
    parameters = Parameters(centred, centred, torch.tensor([False]), torch.tensor([45.0]))
    assert apply(images, parameters, padding)[0, 0, 0, 0] == 0
    shifted = parameters._replace(left=torch.tensor([0]), angle=torch.tensor([90.0]))
    got = apply(images, shifted, padding)  # crop: 4 black columns left, 4 white ones right
    assert torch.equal(got, one_by_one(images, shifted, padding))
    assert int((got == 0).sum()) == 3 * 4 * size
    # Off-centre crop: its corners come from beyond the crop, where the image itself is white.
    corner = parameters._replace(left=torch.tensor([0]), top=torch.tensor([0]))
    got = apply(images, corner, padding)
    assert torch.equal(got, one_by_one(images, corner, padding))
    assert got[0, 0, -1, -1] == 0


def test_parameters_cover_their_ranges_evenly() -> None:
    n = 36_000
    parameters = draw_parameters(recipe(4, True, 15.0), n, seeded())
    for offsets in (parameters.top, parameters.left):
        counts = torch.bincount(offsets)
        assert len(counts) == 9
        assert ((counts - n / 9).abs() < 5 * (n / 9) ** 0.5).all()
    joint = torch.bincount(parameters.top * 9 + parameters.left, minlength=81)
    assert (joint > 0).all()
    assert abs(float(parameters.flip.double().mean()) - 0.5) < 0.015
    assert parameters.angle.min() < -14.9
    assert parameters.angle.max() > 14.9
    assert abs(float(parameters.angle.mean())) < 0.2


def test_same_generator_same_draws_and_one_off_leaves_the_others() -> None:
    augmenter = Augmenter(recipe(4, True, 15.0), 32, CPU)
    first = augmenter.draw(64, seeded(3))
    assert torch.equal(first.table, augmenter.draw(64, seeded(3)).table)
    assert not torch.equal(first.table, augmenter.draw(64, seeded(4)).table)
    full = draw_parameters(recipe(4, True, 15.0), 64, seeded(3))
    without_flip = draw_parameters(recipe(4, False, 15.0), 64, seeded(3))
    assert torch.equal(full.angle, without_flip.angle)
    assert not without_flip.flip.any()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_equal_the_whole(batch: int) -> None:
    n, size = 100, 13
    augmenter = Augmenter(recipe(2, True, 15.0), size, CPU)
    draws = augmenter.draw(n, seeded())
    images = noise(n, size)
    parts = [
        augmenter.apply(images[i : i + batch], draws[i : i + batch]) for i in range(0, n, batch)
    ]
    assert torch.equal(torch.cat(parts), augmenter.apply(images, draws))


def test_nothing_to_do_costs_nothing() -> None:
    augmenter = Augmenter(recipe(), 8, CPU)
    generator = seeded()
    state = generator.get_state()
    images = noise(5, 8)
    draws = augmenter.draw(5, generator)
    assert torch.equal(augmenter.apply(images[:2], draws[:2]), images[:2])
    assert augmenter.apply(images, draws).data_ptr() == images.data_ptr()
    assert torch.equal(state, generator.get_state())


def test_strided_input_and_empty_batch() -> None:
    augmenter = Augmenter(recipe(1, True, 15.0), 8, CPU)
    draws = augmenter.draw(6, seeded())
    images = noise(6, 8)
    strided = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augmenter.apply(strided, draws), augmenter.apply(images, draws))
    assert augmenter.apply(images[:0], draws[:0]).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (lambda: noise(4, 8).float(), "uint8"),
        (lambda: noise(4, 9), r"\(B, C, 8, 8\)"),
        (lambda: noise(3, 8), "4 draws for 3 images"),
    ],
)
def test_refuses_other_images(images: Callable[[], Tensor], match: str) -> None:
    augmenter = Augmenter(recipe(1), 8, CPU)
    with pytest.raises(ValueError, match=match):
        augmenter.apply(images(), augmenter.draw(4, seeded()))


def test_normalise_equals_numpy_in_float32() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    got = normalise(images, mean, std)
    scaled = images.numpy().astype(np.float32) / np.float32(255)
    expected = (scaled - mean.numpy()[:, None, None]) / std.numpy()[:, None, None]
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(got.numpy(), expected)
    published = F.normalize(
        F.convert_image_dtype(images, torch.float32), mean.tolist(), std.tolist()
    )
    assert torch.equal(got, published)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    device = torch.device("cuda")
    chosen, images = recipe(4, True, 15.0), noise(64, 32)
    on_cpu, on_cuda = (Augmenter(chosen, 32, place) for place in (CPU, device))
    expected = on_cpu.apply(images, on_cpu.draw(64, seeded()))
    draws = on_cuda.draw(64, seeded())
    there = images.to(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = on_cuda.apply(there, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(got.cpu(), expected)
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    normalised = normalise(got, mean.to(device), std.to(device))
    assert torch.equal(normalised.cpu(), normalise(expected, mean, std))
