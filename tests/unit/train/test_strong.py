"""The strong view against torchvision's own AutoAugment, image by image, and a slow Cutout."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from ltbench.protocol.protocol import Recipe
from ltbench.train.augment import Augmenter
from ltbench.train.strong import StrongAugmenter

SIZE = 32
CPU = torch.device("cpu")
RECIPE = Recipe(epochs=1, batch_size=8, lr=0.1, crop_padding=4, flip=True, rotation=15.0)
UNTURNED = dataclasses.replace(RECIPE, rotation=0.0)


class Told(AutoAugment):
    """torchvision's, with the random numbers that it is told."""

    told: tuple[int, Tensor, Tensor]

    def get_params(self, transform_num: int) -> tuple[int, Tensor, Tensor]:  # type: ignore[override]
        assert transform_num == 25
        return self.told


def images(n: int) -> Tensor:
    rng = torch.Generator().manual_seed(3)
    smooth = torch.rand(n, 3, 4, 4, generator=rng)
    large = torch.nn.functional.interpolate(smooth, size=SIZE, mode="bilinear")
    return (255 * large).to(torch.uint8)


def test_every_policy_has_the_pixels_of_torchvision() -> None:
    n = 400
    strong, whole = StrongAugmenter(RECIPE, SIZE, CPU), images(n)
    draws = strong.draw(n, torch.Generator().manual_seed(0))
    assert len(draws.policy.unique()) == 25
    plain = Augmenter(UNTURNED, SIZE, CPU)
    expected = plain.apply(whole, draws.moved)
    policy = Told(AutoAugmentPolicy.CIFAR10)
    for i in range(n):
        policy.told = int(draws.policy[i]), draws.chance[i], 1 - draws.negative[i].int()
        image = policy(expected[i]).clone()
        row, column = draws.centre[i].tolist()
        image[:, max(0, row - 8) : row + 8, max(0, column - 8) : column + 8] = 0
        found = strong.apply(whole[i : i + 1], draws.part(slice(i, i + 1)))[0]
        assert torch.equal(found, image), (i, policy.policies[int(draws.policy[i])])


def test_a_batch_is_its_images_and_the_input_stays() -> None:
    strong, whole = StrongAugmenter(RECIPE, SIZE, CPU), images(60)
    before, draws = whole.clone(), strong.draw(60, torch.Generator().manual_seed(1))
    together = strong.apply(whole, draws)
    assert torch.equal(whole, before)
    assert not torch.equal(together, before)
    for i in range(60):
        alone = strong.apply(whole[i : i + 1], draws.part(slice(i, i + 1)))
        assert torch.equal(alone[0], together[i])
