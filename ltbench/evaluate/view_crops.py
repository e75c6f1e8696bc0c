"""What views are made of: clean images that are moved afterwards, or parts of images as they were taken."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from ltbench.data.dataset import Dataset, Images
from ltbench.data.decode import mapper, to_array
from ltbench.protocol.protocol import RESIZED, ViewsConfig
from ltbench.train.resized import cropped, uniforms


def pictures(test: Dataset, views: ViewsConfig, k: int, view: int, part: slice) -> Images:
    """``(B, 3, S, S)`` uint8: the images ``part`` for view 0 or 1 of pair ``k``, before any colour changes.

    With ``crop = "padded"`` the clean images, the same for every view. With ``crop = "resized"`` of each
    a random part, resized (:func:`ltbench.train.resized.cropped`), from an image that :meth:`Dataset.open`
    gives; which part is a function of seed, pair, view and the image's index alone.
    """
    chosen = range(part.start, part.stop)
    if views.crop != RESIZED:
        return test.read(np.asarray(chosen))
    key, size = _key(views.seed, k, view), test.image_size

    def cut(index: int) -> Images:
        return to_array(cropped(test.open(index), size, views.crop_scale, uniforms(key, index)))

    found = np.empty((len(chosen), 3, size, size), dtype=np.uint8)
    with mapper(threaded=len(chosen) > 1) as over:
        for place, pixels in enumerate(over(cut, chosen)):
            found[place] = pixels
    return found


def unfit_views(views: ViewsConfig, streamed: bool) -> str:
    """Why views cannot be made of the images of a protocol; empty where they can."""
    if views.crop != RESIZED or streamed:
        return ""
    return 'views.crop = "resized" needs images that are opened one by one, as source "lists" does'


def _key(seed: int, k: int, view: int) -> int:
    digest = hashlib.sha256(json.dumps(["resized crop", seed, k, view]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
