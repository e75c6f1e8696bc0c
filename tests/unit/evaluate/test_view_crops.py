"""Views that are resized crops of the photograph: torchvision's pixels, draws of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode

from ltbench.data.dataset import Dataset
from ltbench.data.digits import load_digits
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.evaluate.view_crops import _key, pictures, unfit_views
from ltbench.evaluate.view_images import draw_view_parameters, view_pair
from ltbench.evaluate.views import ViewLogits
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig, ViewsConfig
from ltbench.train.infer import Inference
from ltbench.train.resized import crop_box, uniforms
from tests.list_sets import FILES, write_gratings

VIEWS = ViewsConfig(crop="resized", crop_scale=(0.2, 1.0), crop_padding=0)
PLAIN = dataclasses.replace(
    VIEWS, flip=False, jitter_probability=0.0, gray_probability=0.0, blur_probability=0.0
)
CONFIG = DataConfig("lists", 3, 16, mean=(0.5,) * 3, std=(0.2,) * 3, lists=FILES)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def test_images(tmp_path: Path) -> Dataset:
    return open_data(CONFIG, write_gratings(tmp_path / "set", 3, 12, 5)).test


def test_pixels_are_torchvisions_of_the_image_as_it_was_taken(test_images: Dataset) -> None:
    found = view_pair(test_images, PLAIN, 1)
    assert found.shape == (2, 15, 3, 16, 16)
    for view in range(2):
        for index in range(15):
            image = test_images.open(index)
            assert image.size != (16, 16)
            box = crop_box(*image.size, uniforms(_key(0, 1, view), index), (0.2, 1.0))
            cut = F.resized_crop(
                image, box.top, box.left, box.height, box.width, [16, 16],
                InterpolationMode.BILINEAR,
            )  # fmt: skip
            np.testing.assert_array_equal(found[view, index], np.asarray(cut).transpose(2, 0, 1))


def test_every_seed_pair_and_view_has_crops_of_its_own_and_parts_change_none(
    test_images: Dataset,
) -> None:
    whole = pictures(test_images, PLAIN, 0, 0, slice(0, 15))
    parts = [pictures(test_images, PLAIN, 0, 0, slice(*b)) for b in ((0, 1), (1, 8), (8, 15))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    others = [(PLAIN, 0, 1), (PLAIN, 1, 0), (dataclasses.replace(PLAIN, seed=1), 0, 0)]
    others += [(dataclasses.replace(PLAIN, crop_scale=(0.5, 1.0)), 0, 0)]
    for views, k, view in others:
        assert not np.array_equal(pictures(test_images, views, k, view, slice(0, 15)), whole)


def test_colours_and_flips_are_those_of_padded_crops(test_images: Dataset) -> None:
    """The crop has random numbers of its own: what follows is drawn as it always was."""
    padded = dataclasses.replace(VIEWS, crop="padded", crop_scale=(0.08, 1.0))
    a, b = (draw_view_parameters(views, 15, 0) for views in (VIEWS, padded))
    for field in dataclasses.fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))
    flipped = view_pair(test_images, dataclasses.replace(PLAIN, flip=True), 0)
    plain = view_pair(test_images, PLAIN, 0)
    for view in range(2):
        for index in range(15):
            expected = plain[view, index]
            expected = expected[..., ::-1] if a.flip[index, view] else expected
            np.testing.assert_array_equal(flipped[view, index], expected)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_network_is_shown_these_views(
    streamed: bool, test_images: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored or made when they are asked for."""
    if streamed:
        monkeypatch.setattr("ltbench.evaluate.views.STREAMED_ABOVE", 0)
    seen = []

    class Watching(Inference):
        def __init__(self) -> None:
            pass

        def __call__(self, read, count, told=None, *, bf16=False):  # type: ignore[no-untyped-def]
            seen.append(np.concatenate([read(slice(0, 4)), read(slice(4, count))]))
            return torch.zeros(count, 1, 3)

    logits = ViewLogits(Watching, "digest", test_images, VIEWS, lambda *_: None, (1, 3))
    assert logits(0).shape == (2, 15, 1, 3)
    np.testing.assert_array_equal(np.stack(seen), view_pair(test_images, VIEWS, 0))


def test_old_views_keep_their_identity() -> None:
    assert not {"crop", "crop_scale"} & set(ViewsConfig().images_identity())
    assert VIEWS.images_identity()["crop"] == "resized"
    assert tuple(VIEWS.images_identity()["crop_scale"]) == (0.2, 1.0)


def test_large_protocols_have_the_published_views() -> None:
    """SADE, test_training_imagenet.py, test_training_places.py and test_training_inat.py."""
    for name, least in (("imagenet-lt", 0.2), ("imagenet-lt-r10", 0.2), ("places-lt", 0.2)):
        views = load_protocol_config(name).views
        assert (views.crop, views.crop_scale, views.blur_probability) == (
            *("resized", (least, 1.0), 0.5),
        )
    views = load_protocol_config("inat18-lt").views
    assert (views.crop, views.crop_scale, views.blur_probability) == ("resized", (0.08, 1.0), 0.5)


def test_images_of_one_size_are_refused() -> None:
    assert "opened one by one" in unfit_views(VIEWS, load_digits().test.streamed)
    assert unfit_views(VIEWS, True) == unfit_views(ViewsConfig(), False) == ""


def test_the_plan_refuses_them_for_rows_that_ask_for_views(tmp_path: Path) -> None:
    cut = {"views.crop": "resized", "views.crop_padding": 0}
    asked = Request("sade", "digits-lt", results=tmp_path, device="cpu", overrides=cut)
    with pytest.raises(InputError, match=r"views\.crop = .* opened one by one"):
        prepare(asked)
    prepare(dataclasses.replace(asked, methods="ce"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": "resized"}, r"crop_padding = 4 goes with .* crop_padding = 0"),
        ({"crop_scale": (0.2, 1.0)}, 'needs crop = "resized"'),
        ({"crop": "resized", "crop_padding": 0, "crop_scale": (0.5, 0.2)}, "two numbers"),
        ({"crop": "random"}, "must be one of: padded, resized"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ViewsConfig(**settings)  # type: ignore[arg-type]
