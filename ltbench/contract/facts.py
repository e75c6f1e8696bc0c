"""What a method asks for, costs and carries, told from its class: for lists and pages, never typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ltbench.method import FAMILIES, Method, Parent, log_prior, overrides
from ltbench.models.training_cost import parts_of_a_step, training_macs
from ltbench.registry import Plugin, Registries
from ltbench.shift.profiles import exponential_counts

CLASSES, SIZE, BACKBONE = 100, 32, "resnet32"
"""As CIFAR-100-LT: 500 images of the largest class, imbalance 100."""
_STRAIGHT = 0.3
"""Natural logarithm: how far a bias may lie from a multiple of log pi (counts are whole numbers)."""


@dataclass(frozen=True)
class Facts:
    """At the defaults.

    experts: E. views: of an image in a step, at most; strong: how many of them strongly augmented.
    streams: of images, 2 where a second one is mixed in. parent: name and role, or None. stages:
    phases of training, 0 where a parent's network is taken as it is. passes: forward and backward
    in a step. text: whether it stands on features of the class names. cost: multiply-accumulates of
    training relative to ce; with_parent: and of what is trained before.
    """

    experts: int
    views: int
    strong: int
    streams: int
    parent: tuple[str, str] | None
    stages: int
    passes: int
    cost: float
    with_parent: float
    text: bool = False

    @property
    def needs(self) -> str:
        """What it takes beyond one view of each image and one pass, in a few words."""
        found = []
        if self.parent is not None:
            name, role = self.parent
            found.append(f"{name} first" if role == "start" else f"{name} as teacher")
        if self.views > 1 or self.strong:
            strong = f" ({self.strong} strong)" if self.strong else ""
            found.append(f"{self.views} view{'s' * (self.views > 1)}{strong}")
        if self.streams > 1:
            found.append("2 streams")
        if self.text:
            found.append("class names")
        if self.passes > 1:
            found.append(f"{self.passes} passes")
        return ", ".join(found)


def facts(name: str, registries: Registries) -> Facts:
    """Of the method ``name``, of its trainer where it is post hoc. Raises what the method raises."""
    trainer, hyper = _build(name, {}, registries).training_identity()
    method = _build(trainer, hyper, registries)
    phases, parent = method.phases(), method.parent()
    views = max((phase.views for phase in phases), key=len, default=())
    cost = _macs(method, registries) / _macs(_build("ce", {}, registries), registries)
    return Facts(
        experts=method.architecture().experts,
        views=len(views),
        strong=len(views) - views.count("recipe"),
        streams=2 if any(phase.second is not None for phase in phases) else 1,
        parent=None if parent is None else (parent.method, parent.role),
        stages=len(phases),
        passes=len(parts_of_a_step(method)),
        cost=cost,
        with_parent=cost + _before(parent, registries),
        text=method.needs_text,
    )


def _before(parent: Parent | None, registries: Registries, deepest: int = 8) -> float:
    if parent is None or deepest == 0:
        return 0.0
    method = _build(parent.method, parent.hyper, registries)
    name, hyper = method.training_identity()
    trained = _build(name, hyper, registries)
    own = _macs(trained, registries) / _macs(_build("ce", {}, registries), registries)
    return own + _before(trained.parent(), registries, deepest - 1)


def prior_kind(name: str, registries: Registries) -> str:
    """How far it is known which prior the logits carry.

    ``exact``: :meth:`ltbench.Method.bias`; ``posterior``: no bias, but log-posteriors; ``reference``:
    where a fit on a hold-out starts; ``none``.
    """
    method = _build(name, {}, registries)
    if method.bias() is not None:
        return "exact"
    if overrides(method, "posterior"):
        return "posterior"
    return "none" if method.reference_bias() is None else "reference"


def carried_powers(name: str, registries: Registries) -> tuple[float, ...] | None:
    """``k_e``, the prior of expert e's logits being pi^k_e; None where the bias says no such thing.

    From b_e = (1 - k_e) log pi + constant, by least squares on an exponential tail.
    """
    method = _build(name, {}, registries)
    bias = method.bias()
    if bias is None:
        return None
    log_pi = log_prior(method.counts).double()
    log_pi = log_pi - log_pi.mean()
    centred = bias.double() - bias.double().mean(dim=1, keepdim=True)
    slopes = (centred @ log_pi) / (log_pi @ log_pi)
    if (centred - slopes[:, None] * log_pi).abs().max() > _STRAIGHT:
        return None
    return tuple((1 - slopes).tolist())


def family_place(plugin: Plugin[Method[Any]]) -> tuple[int, str]:
    """For sorting: families in the order of ``FAMILIES``, a plugin's own behind them."""
    family = str(plugin.cls.family)
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), family


def _macs(method: Method[Any], registries: Registries) -> float:
    parent = method.parent()
    taught = parent is not None and parent.role == "teacher"
    teacher = _build(parent.method, parent.hyper, registries) if parent and taught else None
    return training_macs(
        *(BACKBONE, CLASSES, method.architecture(), method.phases(), SIZE),
        passes=len(parts_of_a_step(method)),
        teacher=None if teacher is None else teacher.architecture(),
    )


def _build(name: str, hyper: Any, registries: Registries) -> Method[Any]:
    cls = registries.methods.get(name).cls
    counts = torch.from_numpy(exponential_counts(500, CLASSES, 100))
    return cls(counts, cls.hyper_type.from_mapping(hyper, name))
