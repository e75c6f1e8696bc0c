"""Logits of the stored pairs of augmented views, made on demand and cached.

Where a pair's logits would take more than a gigabyte they are float16 and read as a memory map; where
its pictures would take more than four, they go through the network as they are made, and are not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from ltbench.data.cache import cache_root
from ltbench.data.dataset import Dataset, Images
from ltbench.evaluate.large_logits import is_large, logits_in_pieces
from ltbench.evaluate.view_crops import pictures
from ltbench.evaluate.view_images import (
    VIEWS_VERSION,
    Chunk,
    draw_view_parameters,
    render,
    view_pair,
)
from ltbench.evaluate.view_processes import render_missing
from ltbench.features.dataset import FeatureDataset
from ltbench.protocol.protocol import ViewsConfig
from ltbench.train.infer import Inference
from ltbench.trial.tensor_file import Pieces, read_tensors, write_pieces, write_sealed
from ltbench.trial.trial import content_hash

Report = Callable[[str, int, int], None]
Read = Callable[[slice], Images]

STREAMED_ABOVE = 2**32
"""Bytes of a pair's pictures, above which they are not stored."""


class ViewLogits:
    """``(2, N, E, C)`` logits of pair k, from memory, the cache or the network, in this order.

    The cache is keyed by the weights themselves (``digest``: SHA-256 of their file), so that a trial
    trained again elsewhere under the same hash never meets another network's logits. ``inference``
    is called only where the network has to run; shape: (experts, classes) of its logits.
    """

    def __init__(
        self,
        inference: Callable[[], Inference],
        digest: str,
        test: Dataset,
        views: ViewsConfig,
        report: Report,
        shape: tuple[int, int],
    ) -> None:
        self._inference, self._test, self._views = inference, test, views
        self._report, self._shape = report, shape
        key = content_hash([digest, test.fingerprint, views.logits_identity(), VIEWS_VERSION])
        self._folder = cache_root() / "view-logits" / key
        self._pairs: dict[int, Tensor] = {}

    def __call__(self, k: int) -> Tensor:
        if k not in self._pairs:
            self._pairs[k] = self._load(k)
        return self._pairs[k]

    def _load(self, k: int) -> Tensor:
        path = self._folder / f"pair{k}.safetensors"
        try:
            return read_tensors(path)["logits"]
        except (OSError, SafetensorError, KeyError):
            pass  # not there yet, or damaged: made again below
        inference = self._inference()  # before images are made: there may be no network
        sides = self._sides(k)
        count, bf16 = len(self._test), self._views.precision == "bf16"

        def told(done: int, total: int) -> None:
            self._report("view logits", done, total)

        if not is_large(2 * count, *self._shape):
            logits = torch.stack([inference(side, count, told, bf16=bf16) for side in sides])
            write_sealed(path, {"logits": logits})
            return logits
        shape = (2, count, *self._shape)
        parts = (
            part.half()
            for side in sides
            for part in logits_in_pieces(inference, side, count, told, bf16=bf16, most=_MOST_HALF)
        )
        write_pieces(path, {"logits": Pieces(shape, torch.float16, parts)}, sealed=True)
        return read_tensors(path)["logits"]

    def _sides(self, k: int) -> list[Read]:
        test = self._test
        if not isinstance(test, FeatureDataset):
            return self._streamed(k) if is_streamed(test) else self._stored(k, test)
        if (live := test.live) is None:
            return [partial(_stored_features, test, k, side) for side in (0, 1)]
        return [partial(_made, live.encode, read) for read in self._stored(k, live.images)]

    def _stored(self, k: int, test: Dataset) -> list[Read]:
        """Pictures of both views, from the cache, where they are put if they are not there."""

        def told(done: int, total: int) -> None:
            self._report("view images", done, total)

        views = self._views
        render_missing(test, views, torch.get_num_threads(), progress=told)
        return [side.__getitem__ for side in view_pair(test, views, k, progress=told)]

    def _streamed(self, k: int) -> list[Read]:
        """The same pictures, made when they are asked for."""
        test, views = self._test, self._views
        parameters = draw_view_parameters(views, len(test), k)

        def side(view: int) -> Read:
            def read(part: slice) -> Images:
                images = pictures(test, views, k, view, part)
                return render(Chunk(images, view, views, parameters.of(part.start, part.stop)))

            return read

        return [side(0), side(1)]


def _stored_features(test: FeatureDataset, pair: int, side: int, part: slice) -> Images:
    return test.read_view(pair, side, np.arange(part.start, part.stop))


def _made(encode: Callable[[Images], Images], read: Read, part: slice) -> Images:
    return encode(read(part))


_MOST_HALF = 65504.0
"""The largest float16."""


def is_streamed(test: Dataset) -> bool:
    """Whether the pictures of a pair are too many to be stored."""
    return 2 * len(test) * 3 * test.image_size**2 > STREAMED_ABOVE
