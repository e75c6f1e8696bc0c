"""What a method's training costs in multiply-accumulates, known before anything is trained."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ltbench.method import Architecture, Method, Phase, overrides
from ltbench.models.build import Wanted, count_macs
from ltbench.sgd import SGD


def training_macs(
    backbone: Wanted,
    classes: int,
    request: Architecture,
    phases: tuple[Phase, ...],
    image_size: int,
    passes: int = 1,
    teacher: Architecture | None = None,
) -> float:
    """Multiply-accumulates of training, for one image and epoch, as a mean over the epochs.

    A weight that learns costs three times what it costs in a forward pass: once forward, twice for
    the slopes of weights and inputs. One that is frozen costs the forward pass, and heads on a frozen
    trunk no slope of inputs. Every view of an image is a pass, and so is every further one over the
    same batch (``passes`` a step, :func:`parts_of_a_step`). A ``teacher`` costs one forward pass a view and
    step. A network that is taken as its parent left it costs nothing, nor does a parent's own
    training, which its children share. Convolutions and heads count; the loss and what a method adds
    to the network do not. It is arithmetic, not time: small layers take longer than their part.
    """
    forward = _forward(backbone, classes, request, image_size)
    heads = _heads(backbone, classes, request, image_size)
    taught = 0 if teacher is None else _forward(backbone, classes, teacher, image_size)
    total = sum(phase.share for phase in phases)

    def cost(phase: Phase) -> int:
        one = 3 * forward if "trunk" in phase.parts else forward + heads * ("heads" in phase.parts)
        return len(phase.views) * (passes * one + taught)

    return sum(phase.share / total * cost(phase) for phase in phases)


def parts_of_a_step(method: Method[Any]) -> tuple[str, ...]:
    """The parts of the loss that one update descends, a pass over the batch each; "" is the whole loss.

    Counted, not declared: ``advance`` is run once on two weights that stand for a network.
    """
    if not overrides(method, "advance"):
        return ("",)
    asked: list[str] = []
    weight = nn.Parameter(torch.ones(2))

    def descend(part: str = "") -> Tensor:
        asked.append(part)
        weight.grad = torch.ones(2)
        return torch.ones(())

    method.advance(descend, SGD([weight], lr=0.1))
    return tuple(asked)


@lru_cache(maxsize=64)
def _forward(backbone: Wanted, classes: int, request: Architecture, image_size: int) -> int:
    return count_macs(backbone, classes, request, image_size)


def _heads(backbone: Wanted, classes: int, request: Architecture, image_size: int) -> int:
    """What grows with the number of classes."""
    one, two = (_forward(backbone, n, request, image_size) for n in (classes, classes + 1))
    return (two - one) * classes
