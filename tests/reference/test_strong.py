"""Batched AutoAugment and Cutout against Pillow on one image after another, bit for bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from ltbench.protocol.protocol import Recipe
from ltbench.train.augment import Augmenter
from ltbench.train.strong import OPERATIONS, POLICY, Strong, magnitudes, strong

CPU = torch.device("cpu")
GREY = (128, 128, 128)
ENHANCED = ("color", "contrast", "brightness", "sharpness")
SIGNED = ("shearX", "shearY", "translateX", "translateY", *ENHANCED)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, size: int = 32, seed: int = 0) -> Tensor:
    """Noise, smooth gradients, images of few values and of one, (n, 3, size, size) uint8."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        x, y = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
        slope = rng.uniform(-1, 1, (3, 2, 1, 1))
        smooth = 128 + rng.uniform(20, 200) * (slope[:, 0] * x + slope[:, 1] * y)
        kinds = (
            rng.integers(0, 256, (3, size, size)),
            smooth + rng.normal(0, 4, (3, size, size)),
            rng.choice(rng.integers(0, 256, 3), (3, size, size)),
            np.broadcast_to(rng.integers(0, 256, (3, 1, 1)), (3, size, size)),
        )
        found.append(np.clip(kinds[i % 4], 0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(found))


def pil_of(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def tensor_of(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def by_pillow(name: str, image: Image.Image, magnitude: float, sign: int) -> Image.Image:
    """One operation as the long-tail codes call it; translations in pixels."""
    signed = magnitude * sign
    affine = {
        "shearX": (1, signed, 0, 0, 1, 0),
        "shearY": (1, 0, 0, signed, 1, 0),
        "translateX": (1, 0, signed, 0, 1, 0),
        "translateY": (1, 0, 0, 0, 1, signed),
    }
    if name in affine:
        how = Image.Resampling.BICUBIC if "shear" in name else Image.Resampling.NEAREST
        way = Image.Transform.AFFINE
        return image.transform(image.size, way, affine[name], how, fillcolor=GREY)
    if name == "rotate":
        turned = image.convert("RGBA").rotate(magnitude)
        ground = Image.new("RGBA", turned.size, (128,) * 4)
        return Image.composite(turned, ground, turned).convert("RGB")
    enhancers = {
        "color": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "brightness": ImageEnhance.Brightness,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhancers:
        return enhancers[name](image).enhance(1 + signed)
    if name == "posterize":
        return ImageOps.posterize(image, int(magnitude))
    if name == "solarize":
        return ImageOps.solarize(image, magnitude)  # type: ignore[arg-type]
    plain = {
        "invert": ImageOps.invert,
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
    }
    return plain[name](image)


def one_by_one(images: Tensor, table: Tensor) -> Tensor:
    """Pairs of operations, then the hole, image after image."""
    size, out = images.shape[-1], []
    for image, row in zip(images, table, strict=True):
        picture = pil_of(image)
        for kind, value, _ in row.tolist():
            if kind >= 0:
                name = OPERATIONS[kind]
                magnitude = float(magnitudes(name, size)[value % 10])
                picture = by_pillow(name, picture, magnitude, 1 if value >= 10 else -1)
        pixels = tensor_of(picture).clone()
        x, y = row[:, 2].tolist()
        rows = slice(max(y - size // 4, 0), max(y + size // 4, 0))
        columns = slice(max(x - size // 4, 0), max(x + size // 4, 0))
        pixels[:, rows, columns] = 0
        out.append(pixels)
    return torch.stack(out)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [32, 21, 8])
def test_every_operation_at_every_level_and_sign_is_pillows(name: str, size: int) -> None:
    images = pictures(8, size)
    made = Strong(size, CPU, cutout=False)
    changed = 0
    for value in range(20):
        table = torch.full((len(images), 2, 3), -1, dtype=torch.int32)
        table[:, 0, 0], table[:, 0, 1] = OPERATIONS.index(name), value
        got = made.apply(images, table)
        wanted = one_by_one(images, no_hole(table))
        wrong = (got != wanted).flatten(1).any(dim=1).nonzero().flatten().tolist()
        assert not wrong, f"{name}, value {value}: images {wrong}"
        changed += int((got != images).any())
    few = name == "equalize" and size * size < 255  # pixels: then Pillow leaves the image
    assert few or changed >= 9, "the operation does nothing"


def no_hole(table: Tensor) -> Tensor:
    table = table.clone()
    table[:, :, 2] = -(1 << 20)
    return table


def test_what_is_drawn_is_what_pillow_makes_of_it() -> None:
    images = pictures(600)
    before = images.clone()
    made = Strong(32, CPU)
    table = made.draw(len(images), seeded(3))
    got = made.apply(images, table)
    assert torch.equal(got, one_by_one(images, table))
    assert torch.equal(images, before)
    assert got.dtype == torch.uint8
    assert torch.equal(strong(images, seeded(3)), got)


def test_the_policy_and_its_magnitudes_are_torchvisions() -> None:
    """Which differs in the sign of a rotation, in the filling and in how a shear is read."""
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10)
    names = {"shearX": "ShearX", "shearY": "ShearY", "autocontrast": "AutoContrast"}
    names |= {"translateX": "TranslateX", "translateY": "TranslateY"}
    ours = tuple(
        tuple((names.get(name, name.capitalize()), p, level) for name, p, level in pair)
        for pair in POLICY
    )
    plain = ("Invert", "AutoContrast", "Equalize")
    wanted = tuple(
        tuple((name, p, 0 if level is None else level) for name, p, level in pair)
        for pair in theirs.policies
    )
    without = tuple(
        tuple((name, p, 0 if name in plain else level) for name, p, level in pair) for pair in ours
    )
    assert without == wanted
    spaces = theirs._augmentation_space(10, (32, 32))
    for name in OPERATIONS:
        space, signed = spaces[names.get(name, name.capitalize())]
        if space.ndim and name != "solarize":
            torch.testing.assert_close(
                magnitudes(name, 32), space.double(), rtol=1e-6, atol=1e-6, msg=name
            )
        assert signed == (name in SIGNED or name == "rotate")
    torch.testing.assert_close(  # their threshold is in units of 255, Pillow's of 256
        magnitudes("solarize", 32) * 255 / 256, spaces["Solarize"][0].double(), rtol=1e-6, atol=1e-4
    )


def test_frequencies_are_those_of_the_policy() -> None:
    n = 50_000
    table = Strong(32, CPU).draw(n, seeded())
    found = Counter(
        (slot, kind) for row in table[:, :, 0].tolist() for slot, kind in enumerate(row)
    )
    for slot in range(2):
        for kind, name in enumerate(OPERATIONS):
            wanted = sum(pair[slot][1] for pair in POLICY if pair[slot][0] == name) / len(POLICY)
            assert found[slot, kind] / n == pytest.approx(wanted, abs=0.007), (slot, name)
    plus = (table[:, :, 1] >= 10).float().mean(dim=0)
    assert plus.tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    centres = table[:, :, 2]
    assert centres.min() == 0
    assert centres.max() == 31


def test_the_hole_is_sixteen_pixels_wide_and_may_be_cut() -> None:
    images = torch.full((3, 3, 32, 32), 200, dtype=torch.uint8)
    table = torch.full((3, 2, 3), -1, dtype=torch.int32)
    table[:, :, 2] = torch.tensor([[16, 16], [0, 31], [31, 4]])
    holes = Strong(32, CPU, autoaugment=False).apply(images, table) == 0
    assert holes[:, 0].flatten(1).sum(dim=1).tolist() == [256, 8 * 9, 9 * 12]
    assert holes[0, :, 8:24, 8:24].all()
    assert holes[1, :, 23:, :8].all()


def recipe(augment: str, padding: int = 4) -> Recipe:
    return Recipe(1, 1, 0.1, crop_padding=padding, flip=True, augment=augment)


@pytest.mark.parametrize("padding", [0, 4])
def test_it_follows_crop_and_flip_which_stay_as_they_were(padding: int) -> None:
    images = pictures(64)
    plain = Augmenter(recipe("", padding), 32, CPU)
    moved = plain.apply(images, plain.draw(64, seeded(5)))
    both = Augmenter(recipe("autoaugment+cutout", padding), 32, CPU)
    draws = both.draw(64, seeded(5))
    assert torch.equal(draws.table[:, :, :5], plain.draw(64, seeded(5)).table)
    got = both.apply(images, draws)
    assert torch.equal(got, one_by_one(moved, draws.table[:, :, 5:]))
    parts = [both.apply(images[i : i + 7], draws[i : i + 7]) for i in range(0, 64, 7)]
    assert torch.equal(torch.cat(parts), got), "the batch has a say"


def test_each_part_alone_keeps_its_draws() -> None:
    n = 100
    full = Augmenter(recipe("autoaugment+cutout"), 32, CPU).draw(n, seeded()).table[:, :, 5:]
    policy = Augmenter(recipe("autoaugment"), 32, CPU).draw(n, seeded()).table[:, :, 5:]
    hole = Augmenter(recipe("cutout"), 32, CPU).draw(n, seeded()).table[:, :, 5:]
    assert torch.equal(policy[:, :, :2], full[:, :, :2])
    assert (policy[:, :, 2] < -1000).all()
    assert torch.equal(hole[:, :, 2], full[:, :, 2])
    assert (hole[:, :, 0] == -1).all()


def test_images_that_are_not_moved_are_not_changed_in_place() -> None:
    images = pictures(16)
    before = images.clone()
    augmenter = Augmenter(
        Recipe(epochs=1, batch_size=1, lr=0.1, augment="autoaugment+cutout"), 32, CPU
    )
    got = augmenter.apply(images, augmenter.draw(16, seeded()))
    assert torch.equal(images, before)
    assert not torch.equal(got, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares with a GPU")
def test_an_accelerator_makes_the_same_bits() -> None:
    images = pictures(2000)
    made, there = Strong(32, CPU), Strong(32, torch.device("cuda"))
    table = made.draw(len(images), seeded(1))
    got = there.apply(images.cuda(), table.cuda()).cpu()
    assert torch.equal(got, made.apply(images, table))


def test_the_way_of_an_accelerator_makes_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation on every image, one of each kept: run here on the CPU."""
    images = pictures(300)
    made = Strong(32, CPU)
    table = made.draw(len(images), seeded(2))
    wanted = made.apply(images, table)
    monkeypatch.setattr("ltbench.train.strong._chooses_rows", lambda device: False)
    assert torch.equal(made.apply(images, table), wanted)
