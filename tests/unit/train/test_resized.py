"""Resized crops and jitter against torchvision's, and draws that nothing but seed, epoch and place moves."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from PIL import Image
from scipy import stats
from torchvision.transforms import ColorJitter, InterpolationMode, RandomResizedCrop

from ltbench.errors import InputError
from ltbench.method import Phase
from ltbench.protocol.protocol import Recipe
from ltbench.train.resized import UNIFORMS, augmented, crop_box, jitter_steps, jittered, uniforms
from ltbench.train.schedule import learning_rate
from ltbench.train.streamed import unfit

RECIPE = Recipe(1, 8, 0.1, crop="resized", flip=True, jitter=(0.4, 0.4, 0.4, 0.1))


def photo(width: int = 50, height: int = 37) -> Image.Image:
    rng = np.random.RandomState(0)
    return Image.fromarray(rng.randint(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize(
    ("width", "height", "draws"), [(640, 427, 10_000), (30, 90, 1500), (400, 20, 1500)]
)
def test_boxes_are_distributed_as_torchvisions(width: int, height: int, draws: int) -> None:
    ours = [crop_box(width, height, uniforms(7, i)) for i in range(draws)]
    torch.manual_seed(0)
    image = photo(width, height)
    theirs = [
        RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(draws)
    ]  # top, left, height, width
    for mine, other in ((0, 1), (1, 0), (2, 3), (3, 2)):
        a, b = [box[mine] for box in ours], [box[other] for box in theirs]
        assert stats.ks_2samp(a, b).pvalue > 1e-4
    for box in ours:
        assert 0 <= box.left <= width - box.width
        assert 0 <= box.top <= height - box.height


def test_pixels_are_torchvisions_for_the_same_draws() -> None:
    image = photo()
    for place in range(20):
        u = uniforms(1, place)
        box = crop_box(*image.size, u, (0.2, 0.9))
        expected = F.resized_crop(
            image, box.top, box.left, box.height, box.width, [16, 16], InterpolationMode.BILINEAR
        )
        recipe = Recipe(1, 8, 0.1, crop="resized", crop_scale=(0.2, 0.9))
        np.testing.assert_array_equal(augmented(image, 16, recipe, u), expected)
        flipped = F.hflip(expected) if u[22] < 0.5 else expected
        recipe = Recipe(1, 8, 0.1, crop="resized", crop_scale=(0.2, 0.9), flip=True)
        np.testing.assert_array_equal(augmented(image, 16, recipe, u), flipped)


@pytest.mark.parametrize(
    ("place", "adjust"),
    [*enumerate([F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue])],
)
def test_jitter_is_torchvisions(place: int, adjust: object) -> None:
    assert callable(adjust)
    strengths = tuple(0.4 * (i == place) for i in range(4))
    u = uniforms(3, 5)
    centre = 0.0 if place == 3 else 1.0
    expected = adjust(photo(), centre - 0.4 + 0.8 * u[23 + place])
    np.testing.assert_array_equal(jittered(photo(), strengths, u), expected)


def test_jitter_is_distributed_as_torchvisions() -> None:
    """SADE's ColorJitter(0.4, 0.4, 0.4, 0.1): factors and orders, 10,000 draws each."""
    ours = [jitter_steps((0.4, 0.4, 0.4, 0.1), uniforms(11, i)) for i in range(10_000)]
    torch.manual_seed(0)
    like = ColorJitter(0.4, 0.4, 0.4, 0.1)
    ranges = [like.brightness, like.contrast, like.saturation, like.hue]
    theirs = [ColorJitter.get_params(*ranges) for _ in range(10_000)]
    for step in range(4):
        a = [dict(steps)[step] for steps in ours]
        b = [float(drawn[1 + step]) for drawn in theirs]  # type: ignore[arg-type]
        assert stats.ks_2samp(a, b).pvalue > 1e-4
    orders = [Counter(tuple(step for step, _ in steps) for steps in ours)]
    orders += [Counter(tuple(drawn[0].tolist()) for drawn in theirs)]
    table = [[each[order] for order in itertools.permutations(range(4))] for each in orders]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_jittered_pixels_are_torchvisions_for_the_same_draws() -> None:
    adjust = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    for place in range(20):
        u = uniforms(2, place)
        expected = photo()
        for step, factor in jitter_steps((0.4, 0.3, 0.2, 0.1), u):
            expected = adjust[step](expected, factor)
        np.testing.assert_array_equal(jittered(photo(), (0.4, 0.3, 0.2, 0.1), u), expected)


def test_every_order_of_the_four_steps_occurs() -> None:
    orders = {int(uniforms(3, i)[27] * 24) for i in range(400)}
    assert orders == set(range(24))
    assert {round(float(uniforms(3, i).max())) for i in range(50)} == {1}


def test_draws_depend_on_key_and_place_alone_and_no_step_moves_another() -> None:
    assert len(uniforms(1, 2)) == UNIFORMS
    np.testing.assert_array_equal(uniforms(1, 2), uniforms(1, 2))
    assert not np.array_equal(uniforms(1, 2), uniforms(1, 3))
    assert not np.array_equal(uniforms(1, 2), uniforms(2, 2))
    plain = augmented(photo(), 16, Recipe(1, 8, 0.1, crop="resized"), uniforms(1, 2))
    colourful = augmented(photo(), 16, RECIPE, uniforms(1, 2))
    assert plain.size == colourful.size == (16, 16)
    assert not np.array_equal(plain, colourful)


def test_cosine_follows_the_warm_up() -> None:
    recipe = Recipe(100, 8, 0.2, warmup_epochs=5, schedule="cosine")
    assert [round(learning_rate(recipe, e, 100), 6) for e in (0, 4, 50, 75)] == [
        *(0.04, 0.2),
        *(0.1, round(0.1 * (1 - np.sqrt(0.5)), 6)),
    ]
    recipe = Recipe(4, 8, 0.2, warmup_epochs=0, schedule="cosine")
    assert learning_rate(recipe, 0, 4) == 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jitter": (0.4, 0.4, 0.4, 0.0)}, 'need crop = "resized"'),
        ({"crop_scale": (0.2, 1.0)}, 'need crop = "resized"'),
        ({"crop": "resized", "crop_scale": (0.5, 0.2)}, "two numbers: least, most"),
        ({"crop": "resized", "jitter": (0.4,)}, "four numbers"),
        ({"crop": "resized", "jitter": (0.4, 0.4, 0.4, 0.6)}, "at most 0.5"),
        ({"crop": "resized", "crop_padding": 4}, 'crop_padding goes with crop = "padded"'),
        ({"crop": "resized", "rotation": 9.0}, 'rotation goes with crop = "padded"'),
        ({"crop": "resized", "augment": "cutout"}, 'augment goes with crop = "padded"'),
        ({"crop": "random"}, "must be one of: padded, resized"),
        ({"schedule": "cos"}, "must be one of: steps, cosine"),
        ({"head_lr": 0.0}, "head_lr = 0"),
    ],
)
def test_recipes_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe(1, 8, 0.1, **settings)  # type: ignore[arg-type]


def test_the_plan_refuses_what_cannot_be_fed() -> None:
    strong = [Phase(views=("recipe", "strong"))]
    assert unfit([Phase()], RECIPE, True, "ce") == ""
    assert "opened one by one" in unfit([Phase()], RECIPE, False, "ce")
    assert "'mdcs' asks for strong views" in unfit(strong, RECIPE, True, "mdcs")
    assert unfit(strong, Recipe(1, 8, 0.1), True, "mdcs") == ""
    simclr = [Phase(views=("recipe", "simclr"))]
    assert "'paco' asks for simclr views" in unfit(simclr, RECIPE, True, "paco")
