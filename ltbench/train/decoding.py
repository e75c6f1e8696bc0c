"""What a process beside the loop does: opens the images of a batch, cuts and augments them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import get_worker_info

from ltbench.data.dataset import Dataset
from ltbench.data.decode import mapper, to_array
from ltbench.errors import LtbenchError, describe
from ltbench.protocol.protocol import Recipe
from ltbench.train.resized import augmented, uniforms


@dataclass(frozen=True)
class Asked:
    """A batch: its images, as places ``(B,)`` in the training set, from place ``start`` of the epoch on.

    keys: of each view's draws; none where the images are wanted as they are.
    """

    chosen: NDArray[np.int64]
    start: int
    keys: tuple[int, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a batch cannot be made, one line; a traceback of another process would tell less."""

    line: str


class Decoding(TorchDataset[Any]):
    """The training images ``indices`` of ``images``, by batches: ``(V, B, 3, S, S)`` uint8.

    V views by the recipe, each with draws of its own; without ``keys`` the one clean image.
    """

    def __init__(self, images: Dataset, indices: NDArray[np.int64], recipe: Recipe) -> None:
        self.images, self.indices, self.recipe = images, indices, recipe

    def __getitem__(self, asked: Asked) -> Tensor | Failure:
        try:
            return self._augmented(asked) if asked.keys else self._clean(asked)
        except (LtbenchError, OSError, MemoryError) as error:
            return Failure(describe(error))

    def _clean(self, asked: Asked) -> Tensor:
        chosen = self.indices[asked.chosen]
        if get_worker_info() is None:
            found = self.images.read(chosen)
        else:  # one by one: with threads of their own several processes would be in each other's way
            found = np.concatenate([self.images.read([index]) for index in chosen.tolist()])
        return torch.from_numpy(found).unsqueeze(0)

    def _augmented(self, asked: Asked) -> Tensor:
        size = self.images.image_size
        found = np.empty((len(asked.keys), len(asked.chosen), 3, size, size), dtype=np.uint8)
        places = self.indices[asked.chosen].tolist()
        with mapper(threaded=False) as over:  # for what it does with Pillow's warnings
            for i, image in enumerate(over(self.images.open, places)):
                for view, key in enumerate(asked.keys):
                    drawn = uniforms(key, asked.start + i)
                    found[view, i] = to_array(augmented(image, size, self.recipe, drawn))
        return torch.from_numpy(found)
