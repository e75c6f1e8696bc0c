"""Preprocessing of images: against PIL's resize and a plain transcription of the rest."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from ltbench.encoder import Preprocessing
from ltbench.encoders.preprocess import check, preprocess
from ltbench.errors import InputError

RANDOM = np.random.RandomState(0).randint(0, 256, (3, 3, 32, 32)).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "filter"),
    [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)],
)
@pytest.mark.parametrize("size", [20, 75])
def test_a_resize_with_antialias_is_that_of_pil(
    kind: Literal["bilinear", "bicubic"], filter: Image.Resampling, size: int
) -> None:
    found = preprocess(torch.from_numpy(RANDOM), Preprocessing(size, 0, kind)).numpy() * 255
    for image, got in zip(RANDOM, found, strict=True):
        whole = Image.fromarray(image.transpose(1, 2, 0)).resize((size, size), filter)
        assert np.abs(got - np.asarray(whole).transpose(2, 0, 1)).max() < 1.01
        without = preprocess(
            torch.from_numpy(image[None]), Preprocessing(size, 0, kind, antialias=False)
        )
        if size < 32:  # then the filter widens, or does not
            assert np.abs(got - without[0].numpy() * 255).max() > 5


def test_the_middle_is_kept_and_normalised() -> None:
    made = Preprocessing(0, 30, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    found = preprocess(torch.from_numpy(RANDOM), made).numpy()
    assert found.shape == (3, 3, 30, 30)
    for channel in range(3):
        own = RANDOM[:, channel, 1:31, 1:31] / 255
        expected = (own - made.mean[channel]) / made.std[channel]
        assert np.abs(found[:, channel] - expected).max() < 1e-6


def test_images_of_the_right_size_are_left_as_they_are() -> None:
    found = preprocess(torch.from_numpy(RANDOM), Preprocessing(32, 32))
    assert torch.equal((found * 255).round().to(torch.uint8), torch.from_numpy(RANDOM))


@pytest.mark.parametrize(("resize", "crop"), [(0, 33), (24, 32), (-1, 0)])
def test_a_crop_that_does_not_fit_is_refused(resize: int, crop: int) -> None:
    with pytest.raises(InputError, match=r"--crop .* must be 0"):
        check(Preprocessing(resize, crop), 32)
    check(Preprocessing(32, 32), 8)
