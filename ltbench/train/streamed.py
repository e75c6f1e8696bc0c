"""Images by the hundred thousand: opened, cut and augmented beside the loop, batch by batch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from ltbench.data.dataset import Dataset, Images
from ltbench.data.findings import shown
from ltbench.errors import LtbenchError
from ltbench.method import Phase
from ltbench.protocol.protocol import RESIZED, Recipe
from ltbench.request import View
from ltbench.seeds import seed_for
from ltbench.train.decoding import Asked, Decoding, Failure
from ltbench.train.feed import Normalising, view_purpose
from ltbench.train.given import Ticket

_AHEAD = 4
"""Batches that each process makes ahead of the step that needs them."""


@dataclass(frozen=True)
class Streamed:
    """Training images that are never all in memory: ``indices`` ``(N,)`` of ``images``.

    loaders: processes that open and augment them; 0: the loop does, between two steps.
    """

    images: Dataset
    indices: NDArray[np.int64]
    loaders: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def image_size(self) -> int:
        """Pixels a side of what the network is given."""
        return self.images.image_size

    def read(self, chosen: slice) -> Images:
        """Clean ones, (B, 3, S, S) uint8."""
        return self.images.read(self.indices[chosen])


def unfit(phases: Sequence[Phase], recipe: Recipe, streamed: bool, method: str) -> str:
    """Why the images of a protocol cannot be fed to ``phases`` by ``recipe``; empty where they can."""
    if recipe.crop != RESIZED:
        return ""
    if not streamed:
        return 'recipe.crop = "resized" needs images that are opened one by one, as source "lists" does'
    for view in (view for phase in phases for view in phase.views if view != "recipe"):
        return (
            f"method {method!r} asks for {view} views, which are made of padded crops; "
            'recipe.crop = "resized" has none'
        )
    return ""


class StreamedFeed(Normalising):
    """Tickets in their order, whatever process made them first.

    With ``crop = "padded"`` the images are opened beside the loop and moved within the step, by the same
    draws as resident ones; with ``crop = "resized"`` all of it happens beside the loop.
    """

    streamed = True

    def __init__(
        self,
        images: Streamed,
        recipe: Recipe,
        mean: Tensor,
        std: Tensor,
        seed: int,
        device: torch.device,
        one_kernel: bool = False,
    ) -> None:
        super().__init__(recipe, images.image_size, mean, std, seed, device, one_kernel)
        self.images = images
        self._loaders: dict[tuple[str, ...], _Loader] = {}

    def tickets(
        self,
        epoch: int,
        order: Tensor,
        batches: Sequence[slice],
        views: tuple[View, ...] = ("recipe",),
        *name: str,
    ) -> Iterator[Ticket]:
        resized = self.recipe.crop == RESIZED
        keys: tuple[int, ...] = ()
        if resized:
            purposes = [view_purpose(self.seed, epoch, v, *name) for v in range(len(views))]
            keys = tuple(seed_for(*purpose) for purpose in purposes)
        places = order.cpu().numpy()
        asked = [Asked(places[batch], batch.start, keys) for batch in batches]
        if name not in self._loaders:
            self._loaders[name] = _Loader(self.images, self.recipe, self.device)
        made = () if resized else self.views(views, len(order), epoch, *name)
        for batch, pixels in zip(batches, self._loaders[name](asked), strict=True):
            there = pixels.to(self.device, non_blocking=True)
            chosen = order[batch]
            if resized:
                yield Ticket(chosen, tuple(there.unbind(0)))
            else:
                raw = there[0]
                yield Ticket(chosen, tuple(view(lambda r=raw: r, batch) for view in made), raw)  # type: ignore[misc]

    def inputs(self, ticket: Ticket) -> Tensor:
        if ticket.raw is not None:
            return self.normalised(ticket.raw, ticket)
        return self.normalised(ticket.chosen, ticket)  # all views are made: nothing is moved

    def close(self) -> None:
        for loader in self._loaders.values():
            loader.close()
        self._loaders.clear()


class _Order(Sampler[Asked]):
    """What is asked of an epoch, so that the processes live on from one to the next."""

    def __init__(self) -> None:
        self.asked: Sequence[Asked] = ()

    def __iter__(self) -> Iterator[Asked]:
        return iter(self.asked)

    def __len__(self) -> int:
        return len(self.asked)


class _Loader:
    """One stream's processes."""

    def __init__(self, images: Streamed, recipe: Recipe, device: torch.device) -> None:
        self._images, self._order = images, _Order()
        beside: dict[str, Any] = {}
        if images.loaders:
            beside = {
                "persistent_workers": True,
                "prefetch_factor": _AHEAD,
                "multiprocessing_context": _processes(),
                "pin_memory": device.type == "cuda",
            }
        self._loader = DataLoader(
            Decoding(images.images, images.indices, recipe),
            sampler=self._order,
            batch_size=None,
            num_workers=images.loaders,
            generator=torch.Generator(),  # else it would draw from everybody's
            **beside,
        )

    def __call__(self, asked: Sequence[Asked]) -> Iterator[Tensor]:
        self._order.asked = asked
        batches = iter(self._loader)
        for one in asked:
            try:
                made = next(batches)
            except (RuntimeError, OSError, EOFError) as error:
                # What torch raises for a process that is gone: EOFError where it died handing over.
                raise LtbenchError(self._gone(one, error)) from None
            if isinstance(made, Failure):
                raise LtbenchError(made.line)
            yield made

    def _gone(self, asked: Asked, error: Exception) -> str:
        """The place in the set is all that is known: it died without a word."""
        first = int(self._images.indices[asked.chosen[0]])
        where = getattr(self._images.images, "path", lambda index: f"image {index}")(first)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return (
            f"a process that opens images is gone ({reason}) while a batch of {len(asked.chosen)} from "
            f"{shown(str(where))} on was awaited; is memory short? --loaders 1 uses less, and the "
            "same command continues"
        )

    def close(self) -> None:
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None and self._images.loaders:
            iterator._shutdown_workers()
        self._loader._iterator = None


def _processes() -> Any:
    """Not forked from a process with threads; from a server that has imported what they need."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["ltbench.train.decoding"])
        return context
    return multiprocessing.get_context("spawn")


def loaders(device: torch.device, threads: int, asked: int | None = None) -> int:
    """Processes for a trial that owns ``threads`` cores; asked: what the user wants, None: by the device.

    On a CPU the network takes so much longer than the images that none pays off; an accelerator is
    given all but one of the trial's cores, at most 12.
    """
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else max(1, min(12, threads - 1))
