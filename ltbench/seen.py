"""What a method is shown: the network, images to mix, then logits, features and targets of a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Network(Protocol):
    """The network as a method meets it: a ``torch.nn.Module`` with E experts, which may share a head."""

    feature_width: int
    """D, the length of what a head is given."""

    def heads(self) -> Iterator[nn.Module]:
        """Each head once."""

    def set_head(self, expert: int, head: nn.Module) -> None:
        """Puts ``head`` in the place of that of ``expert``: ``(B, D)`` features to ``(B, C)`` logits."""

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 3, H, W)`` normalised images to ``(B, E, C)`` logits and ``(B, E, D)`` features."""

    def __call__(self, images: Tensor) -> Tensor:
        """The logits alone."""


@dataclass(frozen=True)
class Images:
    """A batch as the network gets it.

    pixels: ``(V B, 3, H, W)`` float32, augmented and normalised, view after view: of V views the
    v-th is ``pixels[v * B : (v + 1) * B]``. targets: ``(B,)`` int64 classes, or ``(B, C)`` float32
    rows that sum to 1. notes: what ``mix`` found out about the images and :meth:`objective` needs, for
    example what a teacher says of them.
    """

    pixels: Tensor
    targets: Tensor
    notes: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Seen:
    """A step after the forward pass: V views, B images, E experts, D features, C classes.

    V: as many as ``mix`` left. logits: ``(V, B, E, C)`` float32. features: ``(V, B, E, D)`` float32,
    what the heads were given.
    targets: ``(B,)`` int64, or the ``(B, C)`` that :meth:`ltbench.Method.mix` made of them.
    index: ``(B,)`` int64, positions in the training set. phase: its name. progress: epoch / epochs in
    [0, 1). draws: what :meth:`ltbench.Method.draw` returned for this batch, on the device. notes: of
    the images that ``mix`` returned. part: of the loss, as :meth:`ltbench.Method.advance` named it to
    ``descend``; "" for all of it.
    rng: what ``loss`` is given under this name; who draws from it inside the step gives up recorded
    steps, who draws in ``draw`` does not.
    """

    logits: Tensor
    features: Tensor
    targets: Tensor
    index: Tensor
    phase: str
    progress: float
    draws: tuple[Tensor, ...] = ()
    notes: tuple[Tensor, ...] = ()
    rng: torch.Generator | None = None
    part: str = ""

    def detached(self) -> Seen:
        """The same without the graph of the gradients."""
        return replace(self, logits=self.logits.detach(), features=self.features.detach())


@dataclass(frozen=True)
class TrainingFeatures:
    """One pass over the un-augmented training images: features ``(N, E, D)`` float32, what the heads
    are given; targets ``(N,)`` int64. text: ``(C, D)`` float32, what the encoder of frozen features made of
    the names of the classes; None where there is none."""

    features: Tensor
    targets: Tensor
    text: Tensor | None = None
