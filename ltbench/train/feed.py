"""What feeds the training loop: batches in the order of an epoch, and what the network takes of each.

The loop knows no images. It says which places of the training set an epoch visits and how that is cut
into batches; a feed gives a ticket for each, and makes inputs of a ticket within the step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ltbench.protocol.protocol import Recipe
from ltbench.request import View
from ltbench.seeds import generator
from ltbench.train.augment import Augmenter, Draws, normalise
from ltbench.train.given import Ticket
from ltbench.train.one_kernel import OneKernel
from ltbench.train.simclr import Simclr
from ltbench.train.strong import STRONG


class Feed(Protocol):
    """The one seam between the images and the loop."""

    image_size: int
    """Pixels a side of what the network is given."""
    streamed: bool
    """Whether tickets are waited for, so that the loop measures that and keeps states within an epoch."""

    def tickets(
        self,
        epoch: int,
        order: Tensor,
        batches: Sequence[slice],
        views: tuple[View, ...],
        *name: str,
    ) -> Iterator[Ticket]:
        """A ticket for each of ``batches`` of ``order``, on the device.

        order: ``(N,)`` int64, places in the training set, on the device; batches: of its places, from
        any step on; name: tells a second stream from the first. What is random is a function of
        (seed, epoch, name, view, place in ``order``): where batches begin changes nothing.
        """

    def inputs(self, ticket: Ticket) -> Tensor:
        """``(V B, 3, S, S)`` float32, augmented and normalised, view after view. No synchronisation."""

    def close(self) -> None:
        """Ends what runs beside the loop."""


class Normalising:
    """Inputs from uint8 images: augmented where a view is still to be made, then normalised.

    mean, std: (3,) float32 in units of the full range. one_kernel: both in one, compiled, where the recipe
    only moves pixels; the same bits.
    """

    def __init__(
        self,
        recipe: Recipe,
        image_size: int,
        mean: Tensor,
        std: Tensor,
        seed: int,
        device: torch.device,
        one_kernel: bool = False,
    ) -> None:
        self.recipe, self.image_size, self.seed, self.device = recipe, image_size, seed, device
        self.mean, self.std = mean.to(device), std.to(device)
        self.augmenter = Augmenter(recipe, image_size, device)
        self.one_kernel = OneKernel(image_size, self.mean, self.std) if one_kernel else None

    def normalised(self, raw: Tensor, ticket: Ticket) -> Tensor:
        """``raw`` (B, 3, S, S) uint8: the ticket's images, on the device."""
        views = [self._normalised(raw, view) for view in ticket.views]
        return views[0] if len(views) == 1 else torch.cat(views)

    def _normalised(self, raw: Tensor, view: Draws | Tensor) -> Tensor:
        if not isinstance(view, Draws):
            return normalise(view, self.mean, self.std)
        if self.one_kernel is not None:
            return self.one_kernel(raw, view)
        return normalise(self.augmenter.apply(raw, view), self.mean, self.std)

    def view(self, view: View, n: int, rng: torch.Generator) -> _MakeView:
        """How an epoch's images are moved within the step, or the pixels of a view that is made before."""
        if view == "recipe":
            draws = self.augmenter.draw(n, rng)
            return lambda raw, batch: draws[batch]
        if view == "simclr":
            simclr = self.simclr
            table = simclr.draw(n, rng).to(self.device)
            return lambda raw, batch: simclr.apply(raw(), table[batch])
        strong = self.strong
        made = strong.draw(n, rng)
        return lambda raw, batch: strong.apply(raw(), made[batch])

    def views(
        self, views: tuple[View, ...], n: int, epoch: int, *name: str
    ) -> tuple[_MakeView, ...]:
        return tuple(
            self.view(view, n, generator(*view_purpose(self.seed, epoch, v, *name)))
            for v, view in enumerate(views)
        )

    @cached_property
    def strong(self) -> Augmenter:
        """Crop and flip of the recipe, then AutoAugment and Cutout."""
        recipe = dataclasses.replace(self.recipe, rotation=0.0, augment=STRONG)
        return Augmenter(recipe, self.image_size, self.device)

    @cached_property
    def simclr(self) -> Simclr:
        return Simclr(self.image_size, self.device, flip=self.recipe.flip)

    def close(self) -> None:
        """Nothing runs beside the loop."""


_MakeView = Callable[[Callable[[], Tensor], slice], Draws | Tensor]
"""From the images of a batch, if it needs them, and the batch's places in the epoch."""


def view_purpose(seed: int, epoch: int, view: int, *name: str) -> tuple[object, ...]:
    """What names the draws of a view; of the first view its number is left out."""
    return ("augmentation", seed, epoch, *name, *((view,) if view else ()))


class ResidentFeed(Normalising):
    """Images ``(N, 3, S, S)`` uint8 that lie on the device, whole and of one size."""

    streamed = False

    def __init__(
        self,
        images: Tensor,
        recipe: Recipe,
        mean: Tensor,
        std: Tensor,
        seed: int,
        device: torch.device,
        one_kernel: bool = False,
    ) -> None:
        super().__init__(recipe, images.shape[-1], mean, std, seed, device, one_kernel)
        self.images = images.to(device)

    def tickets(
        self,
        epoch: int,
        order: Tensor,
        batches: Sequence[slice],
        views: tuple[View, ...] = ("recipe",),
        *name: str,
    ) -> Iterator[Ticket]:
        made = self.views(views, len(order), epoch, *name)
        for batch in batches:
            chosen = order[batch]
            raw = self._gathered(chosen)
            yield Ticket(chosen, tuple(view(raw, batch) for view in made))

    def _gathered(self, chosen: Tensor) -> Callable[[], Tensor]:
        return lambda: self.images[chosen]

    def inputs(self, ticket: Ticket) -> Tensor:
        return self.normalised(self.images[ticket.chosen], ticket)
