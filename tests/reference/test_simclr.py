"""SimCLR's augmentation on batches against torchvision on one PIL image after another, bit for bit."""

from __future__ import annotations

import itertools

import pytest
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from ltbench.train import operations
from ltbench.train.simclr import JITTER, SCALE, STEPS, Simclr, crops
from tests.reference.test_strong import pictures, pil_of, seeded, tensor_of

CPU = torch.device("cpu")
BY_TORCHVISION = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)


def turned(image: Image.Image, by: int) -> Image.Image:
    """The hue by a number of 255ths of the circle, as torchvision truncates its factor to it."""
    factor = (by + (0.25 if by >= 0 else -0.25)) / 255
    assert int(factor * 255) == by
    return F.adjust_hue(image, factor)


def by_torchvision(image: Tensor, row: list[float]) -> Tensor:
    top, left, height, width = map(int, row[:4])
    size = image.shape[1]
    seen = F.resized_crop(
        pil_of(image), top, left, height, width, [size, size], InterpolationMode.BILINEAR
    )
    if row[4]:
        seen = F.hflip(seen)
    for step in map(int, row[5:9]):
        if step == 3:
            seen = turned(seen, int(row[12]))
        elif step >= 0:
            seen = BY_TORCHVISION[step](seen, row[9 + step])
    return tensor_of(F.to_grayscale(seen, 3) if row[13] else seen)


@pytest.mark.parametrize("size", [8, 32])
def test_every_image_has_the_pixels_of_torchvision(size: int) -> None:
    images = pictures(600, size, seed=1)
    made = Simclr(size, CPU, flip=True)
    table = made.draw(len(images), seeded())
    before = images.clone()
    found = made.apply(images, table)
    assert torch.equal(images, before)
    wrong = [
        i
        for i, row in enumerate(table.tolist())
        if not torch.equal(found[i], by_torchvision(images[i], row))
    ]
    assert wrong == []


@pytest.mark.parametrize("by", [-26, -1, 0, 13, 26])
def test_hue_of_many_colours(by: int) -> None:
    """64^3 colours from the whole cube, edges and greys among them."""
    steps = torch.arange(64) * 255 // 63
    cube = torch.cartesian_prod(steps, steps, steps).to(torch.uint8).T.reshape(1, 3, 512, 512)
    found = operations.hue(cube, torch.tensor([float(by)]).view(1, 1, 1, 1))
    assert torch.equal(found[0], tensor_of(turned(pil_of(cube[0]), by)))


def test_every_crop_of_a_small_image() -> None:
    image = pictures(1, 8, seed=2)
    made = Simclr(8, CPU, flip=False)
    table = made.draw(1, seeded())
    table[:, 4], table[:, 5:9], table[:, 13] = 0, -1, 0
    for height, width in itertools.product(range(1, 9), repeat=2):
        table[0, :4] = torch.tensor([8 - height, 0, height, width])
        found = made.apply(image, table)[0]
        assert torch.equal(found, by_torchvision(image[0], table[0].tolist()))


def test_crops_are_drawn_as_torchvision_draws_them() -> None:
    n = 20_000
    found = crops(n, 32, seeded()).double()
    torch.manual_seed(0)
    image = torch.zeros(3, 32, 32)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(image, list(SCALE), [3 / 4, 4 / 3]) for _ in range(n)]
    ).double()
    torch.testing.assert_close(found.mean(0), theirs.mean(0), atol=0.2, rtol=0)
    torch.testing.assert_close(found.std(0), theirs.std(0), atol=0.2, rtol=0)
    assert ((found[:, :2] + found[:, 2:]) <= 32).all()
    assert (found[:, 2:] >= 1).all()
    assert (found[:, :2] >= 0).all()


def test_draws() -> None:
    n = 20_000
    table = Simclr(8, CPU, flip=True).draw(n, seeded())
    assert table[:, 4].mean().item() == pytest.approx(0.5, abs=0.02)
    jittered = table[:, 5] >= 0
    assert jittered.float().mean().item() == pytest.approx(JITTER, abs=0.02)
    assert (table[jittered, 5:9].sort(dim=1).values == torch.arange(4)).all()
    assert (table[~jittered, 5:9] == -1).all()
    counts = torch.stack([torch.bincount(table[jittered, 5 + s].long()) for s in range(4)])
    assert counts.shape == (4, len(STEPS))
    assert (counts / counts.sum(1, keepdim=True) - 0.25).abs().max() < 0.02
    assert table[:, 9:12].min() >= 0.6
    assert table[:, 9:12].max() <= 1.4
    assert table[:, 12].abs().max() == 25  # a tenth of 255 is cut to 25
    assert table[:, 13].mean().item() == pytest.approx(0.2, abs=0.02)
    still = Simclr(8, CPU, flip=False).draw(n, seeded())
    assert not still[:, 4].any()
    assert torch.equal(still[:, 5:], table[:, 5:])
    assert torch.equal(still[:, :4], table[:, :4])


def test_a_device_that_computes_every_operation_gives_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As an accelerator does, which cannot choose images without waiting for their number."""
    images = pictures(200, 8, seed=3)
    made = Simclr(8, CPU, flip=True)
    table = made.draw(len(images), seeded(1))
    chosen = made.apply(images, table)
    monkeypatch.setattr("ltbench.train.strong._chooses_rows", lambda device: False)
    assert torch.equal(made.apply(images, table), chosen)
