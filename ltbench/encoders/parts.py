"""What an extraction runs over: the clean images, augmented copies, and pairs of views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from ltbench.data.dataset import Dataset, Images, Splits
from ltbench.data.decode import mapper, to_array
from ltbench.errors import InputError
from ltbench.evaluate.view_images import Chunk, ViewParameters, draw_view_parameters, render
from ltbench.features.header import CLEAN, TEST, TRAIN, copy_name, pair_file
from ltbench.protocol.protocol import Protocol, Recipe, ViewsConfig
from ltbench.seeds import generator, seed_for
from ltbench.train.augment import Augmenter
from ltbench.train.resized import augmented, uniforms


@dataclass(frozen=True)
class Part:
    """A tensor to be: ``tensor`` of ``file``. read: uint8 images (B, 3, S, S) of places start to stop - 1."""

    file: str
    tensor: str
    count: int
    read: Callable[[int, int], Images]

    def __str__(self) -> str:
        return f"{self.file.partition('.')[0]}-{self.tensor}"


def parts_of(splits: Splits, protocol: Protocol, pairs: int, copies: int) -> list[Part]:
    """Training images, their ``copies``, test images, ``pairs`` of views of these; every image of the pool.

    Copies are drawn by the protocol's recipe from a seed of their own for each number; views are those
    that the protocol's ``[views]`` gives on images. Raises :class:`InputError`, one line, for more pairs
    than the protocol has and for copies where its recipe augments nothing.
    """
    if pairs > protocol.views.pairs:
        raise InputError(
            f"--views {pairs}: {protocol.name} has views.pairs = {protocol.views.pairs}"
        )
    train, test = splits.train, splits.test
    if copies and not train.streamed and not _augments(protocol.recipe):
        raise InputError(
            f"--augmented {copies}: the recipe of {protocol.name} augments nothing, copies would be equal"
        )
    found = [Part(TRAIN, CLEAN, len(train), _clean(train))]
    for k in range(copies):
        read = (_cut if train.streamed else _moved)(train, protocol.recipe, k)
        found.append(Part(TRAIN, copy_name(k), len(train), read))
    found.append(Part(TEST, CLEAN, len(test), _clean(test)))
    for k in range(pairs):
        found += _views(test, protocol.views, k)
    return found


def _augments(recipe: Recipe) -> bool:
    return bool(recipe.crop_padding or recipe.flip or recipe.rotation or recipe.augment)


def _clean(images: Dataset) -> Callable[[int, int], Images]:
    return lambda start, stop: images.read(np.arange(start, stop))


def _moved(images: Dataset, recipe: Recipe, copy: int) -> Callable[[int, int], Images]:
    """Crop, flip, rotation and what ``recipe.augment`` says, as the training loop does it."""
    augmenter = Augmenter(recipe, images.image_size, torch.device("cpu"))

    @cache
    def draws() -> object:
        return augmenter.draw(len(images), generator("features", "augmented", copy))

    def read(start: int, stop: int) -> Images:
        pixels = torch.from_numpy(images.read(np.arange(start, stop)))
        chosen = draws()[start:stop]  # type: ignore[index]
        found: Images = augmenter.apply(pixels, chosen).numpy()
        return found

    return read


def _cut(images: Dataset, recipe: Recipe, copy: int) -> Callable[[int, int], Images]:
    """Random resized crop, flip and jitter of large images, as the processes beside the loop do it."""
    key = seed_for("features", "augmented", copy)

    def one(index: int) -> Images:
        image = images.open(index)
        return to_array(augmented(image, images.image_size, recipe, uniforms(key, index)))

    def read(start: int, stop: int) -> Images:
        with mapper(threaded=True) as over:
            return np.stack(list(over(one, range(start, stop))))

    return read


def _views(test: Dataset, views: ViewsConfig, k: int) -> Iterator[Part]:
    @cache
    def parameters() -> ViewParameters:
        return draw_view_parameters(views, len(test), k)

    for view, tensor in enumerate("ab"):

        def read(start: int, stop: int, view: int = view) -> Images:
            images = test.read(np.arange(start, stop))
            return render(Chunk(images, view, views, parameters().of(start, stop)))

        yield Part(pair_file(k), tensor, len(test), read)
