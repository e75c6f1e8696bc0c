"""Real photographs through every transform: sizes and pixels, which Pillow defines, by major version.

A Pillow that computes other pixels makes another recipe: it must be seen here before a table shows it. What
the digests should be for a major version that is not in the table is printed by the failing test.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from ltbench.data.decode import square
from ltbench.evaluate.view_images import Chunk, draw_view_parameters, render
from ltbench.protocol.protocol import Recipe, ViewsConfig
from ltbench.train.resized import augmented, jittered, uniforms

MAJOR = int(PIL.__version__.split(".")[0])
RECIPE = Recipe(1, 8, 0.1, crop="resized", flip=True)
SADE = Recipe(1, 8, 0.1, crop="resized", flip=True, jitter=(0.4, 0.4, 0.4, 0.0))
MOCO = ViewsConfig(
    crop="resized", crop_padding=0, jitter_probability=1, gray_probability=0, blur_probability=1
)
GREY = ViewsConfig(crop_padding=28, gray_probability=1, blur_probability=0)
DIGESTS = {
    10: {
        "as read": "9459dffd4ad72e7b",
        "short side 256, middle 224": "790350c0bef3034c",
        "padded to a square": "166b6bc80d8d90b3",
        "crop and flip": "16fff11abb307293",
        "crop, flip and jitter": "9db934857085c10b",
        "hue": "857a5d795c4b64c3",
        "view, jitter and blur": "392bc27006c49dff",
        "view, grey": "9d8c3443633e3759",
    },
    13: {
        "as read": "9459dffd4ad72e7b",
        "short side 256, middle 224": "790350c0bef3034c",
        "padded to a square": "1fd695aac1587ecf",
        "crop and flip": "16fff11abb307293",
        "crop, flip and jitter": "9db934857085c10b",
        "hue": "857a5d795c4b64c3",
        "view, jitter and blur": "392bc27006c49dff",
        "view, grey": "9d8c3443633e3759",
    },
}
"""SHA-256 of shape and bytes, 16 digits, by the major version of Pillow. Made with 10.0.0 and 13.0.0, which
differ in one: of the 5,760 bytes of the tall image scaled to 30x64, 567 by one level."""


@cache
def photographs() -> tuple[Image.Image, Image.Image]:
    china, flower = load_sample_images().images
    return Image.fromarray(china), Image.fromarray(flower)


def seen(image: Image.Image, views: ViewsConfig) -> NDArray[np.uint8]:
    clean = np.asarray(square(image, 224, "crop", 256)).transpose(2, 0, 1)[None]
    return render(Chunk(clean, 1, views, draw_view_parameters(views, 1, 0)))[0].transpose(1, 2, 0)


def transformed() -> dict[str, NDArray[np.uint8]]:
    china, flower = photographs()
    tall = china.crop((200, 0, 400, 427))
    found = {
        "as read": china,
        "short side 256, middle 224": square(flower, 224, "crop", 256),
        "padded to a square": square(tall, 64, "pad"),
        "crop and flip": augmented(china, 224, RECIPE, uniforms(5, 0)),
        "crop, flip and jitter": augmented(tall, 224, SADE, uniforms(5, 1)),
        "hue": jittered(flower, (0.0, 0.0, 0.0, 0.1), uniforms(5, 2)),
        "view, jitter and blur": seen(china, MOCO),
        "view, grey": seen(flower, GREY),
    }
    return {name: np.asarray(image) for name, image in found.items()}


def digest(pixels: NDArray[np.uint8]) -> str:
    whole = str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
    return hashlib.sha256(whole).hexdigest()[:16]


def test_sizes() -> None:
    sizes = {name: pixels.shape for name, pixels in transformed().items()}
    whole, square_224 = (427, 640, 3), (224, 224, 3)
    assert list(sizes.values()) == [
        *(whole, square_224, (64, 64, 3), square_224, square_224, whole, square_224, square_224)
    ]


def test_pixels_are_those_of_this_pillow() -> None:
    found = {name: digest(pixels) for name, pixels in transformed().items()}
    if MAJOR not in DIGESTS:
        pytest.fail(
            f"Pillow {PIL.__version__}: no digests are known for major version {MAJOR} (known: "
            f"{', '.join(map(str, DIGESTS))}). Compare the pixels with an older version, then add them:\n"
            f"    {MAJOR}: {found}"
        )
    assert found == DIGESTS[MAJOR]
