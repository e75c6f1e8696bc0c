"""A step as a method sees it in training, made around given logits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ltbench.contract.copies import Copies
from ltbench.method import Architecture, Images, Method, Parent, Phase, Seen, overrides
from ltbench.models.assemble import build_extra
from ltbench.models.build import build_network
from ltbench.models.network import ExpertNetwork
from ltbench.registry import Registries

IMAGE_SIZE = 8
_SHRUNK = 0.9
"""Logits of a further view are those of the view before, times this: other ones, yet in no need of
random numbers, and renumbered or reordered as the first view is."""


def phase_at(method: Method[Any], progress: float) -> Phase:
    """The phase in which ``progress`` lies."""
    phases = method.phases() or (Phase(),)
    total, passed = sum(phase.share for phase in phases), 0.0
    for phase in phases:
        passed += phase.share
        if progress * total < passed:
            return phase
    return phases[-1]


def shown(
    method: Method[Any],
    logits: Tensor,
    targets: Tensor,
    progress: float,
    rng: torch.Generator,
    *,
    draw_at: float | None = None,
    views_differ: bool = True,
    part: str = "",
) -> Seen:
    """A step with logits ``(B, E, C)`` in its first view.

    draw_at: another progress for ``draw``; part: of the loss. Features are made of the logits, sorted,
    so that no number of a class is in them.
    """
    prepare(method)
    phase = phase_at(method, progress)
    at = progress if draw_at is None else draw_at
    drawn = tuple(
        each.to(logits.device) for each in method.draw(len(targets), progress=at, rng=rng)
    )
    shrunk = _SHRUNK if views_differ else 1.0
    views, notes = _mixed(method, targets, len(phase.views), drawn)
    every = logits[None]  # no copy: what is written into it is seen by whoever gave it
    if views > 1:
        every = torch.stack([logits * shrunk**v for v in range(views)])
    width = _width(method)
    ordered = every.detach().sort(dim=-1).values
    features = ordered.repeat(1, 1, 1, -(-width // ordered.shape[-1]))[..., :width]
    return Seen(
        every,
        features,
        targets,
        torch.arange(len(targets), device=targets.device),
        phase.name,
        progress,
        drawn,
        notes,
        rng,
        part,
    )


def _mixed(
    method: Method[Any], targets: Tensor, views: int, drawn: tuple[Tensor, ...]
) -> tuple[int, tuple[Tensor, ...]]:
    """How many views ``mix`` leaves, and what it notes of images that are all alike, so that their
    order says nothing."""
    if not overrides(method, "mix"):
        return views, ()
    pixels = torch.zeros(views * len(targets), 3, IMAGE_SIZE, IMAGE_SIZE, device=targets.device)
    images = Images(pixels, targets)
    mixed = method.mix(
        images, Images(pixels[: len(targets)], targets) if views > 1 else images, drawn
    )
    if not isinstance(mixed, Images):
        return views, ()
    return max(len(mixed.pixels) // len(targets), 1), mixed.notes


def trains_nothing(method: Method[Any]) -> bool:
    """Whether it takes a parent's network as it is, or its heads from names."""
    if method.needs_text and method.phases() == ():
        return True
    asked = method.parent()
    return isinstance(asked, Parent) and asked.role == "start" and method.phases() == ()


def parent_of(method: Method[Any], registries: Registries) -> Method[Any] | None:
    """The method of its parent, with the hyper-parameters that it names."""
    asked = method.parent()
    if asked is None:
        return None
    cls = registries.methods.get(asked.method).cls
    return cls(method.counts, cls.hyper_type.from_mapping(asked.hyper, asked.method))


def give_teacher(method: Method[Any], registries: Registries) -> None:
    """A network with fresh weights as ``method.teacher``, where its parent is one."""
    asked = method.parent()
    if not isinstance(asked, Parent) or asked.role != "teacher":
        return
    parent = parent_of(method, registries)
    assert parent is not None
    network = fresh_network(len(method.counts), parent.architecture(), 6)
    method.teacher = network.eval().requires_grad_(False)


def fresh_network(classes: int, architecture: Architecture, seed: int) -> ExpertNetwork:
    """The smallest network with the weights of ``seed``, of whoever asks alone: contracts ask thousands of
    times, and a copy takes a fifth of what building one does."""
    network: ExpertNetwork = _networks(classes, architecture, seed).make()
    return network


@lru_cache(maxsize=32)
def _networks(classes: int, architecture: Architecture, seed: int) -> Copies:
    rng = torch.Generator().manual_seed(seed)
    return Copies(build_network("resnet8", classes, architecture, rng))


def _width(method: Method[Any]) -> int:
    return 48 if method.architecture().reduced else 64


_built: WeakKeyDictionary[Method[Any], nn.Module] = WeakKeyDictionary()
"""The network on which a method has built."""


def prepare(method: Method[Any]) -> None:
    """Lets it build, once, on the smallest network that it asks for."""
    if overrides(method, "build") and method not in _built:
        network = fresh_network(len(method.counts), method.architecture(), 5)
        network.to(memory_format=torch.channels_last)
        build_extra(method, network, 7)
        _built[method] = network


class _Renamed(nn.Module):
    """The same network, its class ``old[i]`` being called i."""

    def __init__(self, network: nn.Module, old: Tensor) -> None:
        super().__init__()
        self.network, self.old = network, old

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits[..., self.old]


def rename_extra(method: Method[Any], renamed: Method[Any], old: Tensor) -> None:
    """Gives ``renamed`` what ``method`` built and the network that it built on, class ``old[i]`` being
    called i: a first axis of C is taken for classes."""
    prepare(method)
    prepare(renamed)
    if method.teacher is not None and overrides(method, "parent"):
        renamed.teacher = _Renamed(method.teacher, old)
    if method.extra is None or renamed.extra is None or not overrides(method, "build"):
        return
    for one, other in ((_built[method], _built[renamed]), (method.extra, renamed.extra)):
        other.load_state_dict(
            {k: v[old] if v.ndim and len(v) == len(old) else v for k, v in one.state_dict().items()}
        )
