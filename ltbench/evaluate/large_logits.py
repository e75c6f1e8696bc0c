"""Logits of many images and classes, made and written piece by piece: never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from ltbench.data.dataset import Dataset, Images
from ltbench.errors import ContractError
from ltbench.maps import LARGE
from ltbench.train.infer import Inference

PIECE = 4096
"""Images that go through the network between two writes: whole batches of a CPU."""


def is_large(images: int, experts: int, classes: int) -> bool:
    """Whether ``(images, experts, classes)`` float32 logits are made in pieces."""
    return 4 * images * experts * classes > LARGE


def read_images(dataset: Dataset) -> Callable[[slice], Images]:
    """What :class:`Inference` reads from."""
    return lambda part: dataset.read(np.arange(part.start, part.stop))


def logits_in_pieces(
    inference: Inference,
    read: Callable[[slice], Images],
    count: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    bf16: bool = False,
    most: float = float("inf"),
) -> Iterator[Tensor]:
    """``inference(read, count, progress, bf16=bf16)``, :data:`PIECE` images at a time.

    Raises :class:`ContractError` where a logit is beyond ``most`` on either side.
    """
    for start in range(0, count, PIECE):
        size = min(PIECE, count - start)

        def own(part: slice, start: int = start) -> Images:
            return read(slice(start + part.start, start + part.stop))

        def told(done: int, _: int, start: int = start) -> None:
            progress(start + done, count)

        logits = inference(own, size, told, bf16=bf16)
        if logits.abs().max() > most:
            raise ContractError(
                f"the trained network gives a logit of {logits.abs().max():g}; those of views are "
                f"stored as float16, which ends at {most:g}"
            )
        yield logits
