"""What a method asks of training: a network, and stages with their own weights, images and rates."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ltbench.errors import InputError, nearest
from ltbench.fields import one_of, positive_number, true_or_false, whole_number
from ltbench.hyper import Json
from ltbench.settings import setting

Part = Literal["trunk", "heads", "extra"]
View = Literal["recipe", "strong", "simclr"]
PARTS: tuple[Part, ...] = get_args(Part)
VIEWS: tuple[View, ...] = get_args(View)
_SAMPLERS = {"instance": 1.0, "class-balanced": 0.0}


@dataclass(frozen=True)
class Architecture:
    """A request for a network; ltbench builds it from the protocol's backbone.

    experts: number of experts E.
    head: ``linear`` (with bias) or ``cosine`` (both sides L2-normalised, times ``scale``).
    scale: above 0; read by the cosine head only.
    reduced: the stages that experts usually have of their own at 3/4 of their width: second and third
    of the ResNets for small images, those behind ``[model] shared`` of the others.
    share: what the experts have in common: ``stage1`` (stem and first stage, as RIDE and SADE; where the
    backbone leaves the choice, the stages up to ``[model] shared``),
    ``nothing`` (whole networks, as NCL), ``features`` (everything up to the last feature map; an
    expert is a BatchNorm of its own on it, as ResLT).
    shared_head: one head for all experts.

    Raises :class:`InputError`, one line that names the field, for any other value.
    """

    experts: int = 1
    head: Literal["linear", "cosine"] = "linear"
    scale: float = 30.0
    reduced: bool = False
    share: Literal["stage1", "nothing", "features"] = setting("stage1", later=True)
    shared_head: bool = setting(False, later=True)

    def __post_init__(self) -> None:
        whole_number("Architecture: experts", self.experts, at_least=1)
        one_of("Architecture: head", self.head, ("linear", "cosine"))
        positive_number("Architecture: scale", self.scale)
        true_or_false("Architecture: reduced", self.reduced)
        one_of("Architecture: share", self.share, ("stage1", "nothing", "features"))
        true_or_false("Architecture: shared_head", self.shared_head)


@dataclass(frozen=True)
class Phase:
    """A part of training. The learning-rate schedule runs once over each phase.

    name: any text. share: fraction of the epochs, relative to the other phases; above 0.
    train: which weights learn: ``all``, ``heads``, or a set of ``trunk`` (everything before the
    heads), ``heads`` and ``extra`` (what :meth:`ltbench.Method.build` returned). The rest is frozen.
    sampler: the exponent q of p(class) ~ n^q: 1 or ``instance`` (each image once an epoch), 0 or
    ``class-balanced`` (classes equally likely), 0.5 square root, -1 reversed; for all but 1 images
    are drawn with replacement, as many an epoch.
    reset_heads: whether the heads start from fresh weights.
    batchnorm: of the trunk: ``trained`` with it (and frozen where it is), ``adapted`` (its statistics
    follow the batches also where the trunk is frozen), ``frozen`` (neither statistics nor weights move).
    second: sampler of a second stream of images, one beside each of the first, for
    :meth:`ltbench.Method.mix`; None: there is none.
    views: how each image is augmented, one name a view: ``recipe`` (as the protocol's recipe says),
    ``strong`` (crop and flip of the recipe, then AutoAugment and Cutout), ``simclr`` (enlarged crops,
    flip of the recipe, colours, grey).
    lr: times the recipe's learning rate; above 0. schedule: ``recipe`` (its warm-up and milestones),
    ``cosine`` (from the full rate to 0, without warm-up) or ``constant``.

    Raises :class:`InputError`, one line that names the field, for any other value.
    """

    name: str = "train"
    share: float = 1.0
    train: Literal["all", "heads"] | Collection[Part] = "all"
    sampler: Literal["instance", "class-balanced"] | float = "instance"
    reset_heads: bool = False
    batchnorm: Literal["trained", "adapted", "frozen"] = "trained"
    second: Literal["instance", "class-balanced"] | float | None = None
    views: tuple[View, ...] = ("recipe",)
    lr: float = 1.0
    schedule: Literal["recipe", "cosine", "constant"] = "recipe"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"Phase: name = {self.name!r} must be a text, for example 'heads'")
        positive_number("Phase: share", self.share)
        _check_train(self.train)
        if not isinstance(self.train, str):
            object.__setattr__(self, "train", tuple(part for part in PARTS if part in self.train))
        _check_sampler("sampler", self.sampler)
        true_or_false("Phase: reset_heads", self.reset_heads)
        one_of("Phase: batchnorm", self.batchnorm, ("trained", "adapted", "frozen"))
        if self.second is not None:
            _check_sampler("second", self.second)
        _check_views(self.views)
        positive_number("Phase: lr", self.lr)
        one_of("Phase: schedule", self.schedule, ("recipe", "cosine", "constant"))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that learn, in the order trunk, heads, extra."""
        if isinstance(self.train, str):
            return PARTS if self.train == "all" else ("heads",)
        return tuple(self.train)

    @property
    def exponent(self) -> float:
        """q of p(class) ~ n^q."""
        return sampler_exponent(self.sampler)


@dataclass(frozen=True)
class Parent:
    """A trial that another one stands on: trained first, with the same seed, once for all its children.

    method: a registered name; hyper: what departs from its usual hyper-parameters.
    role: ``start``, its trained network is where training starts (the architectures must be equal);
    ``teacher``, its network is ``self.teacher``: normalised images ``(B, 3, H, W)`` to logits
    ``(B, E, C)``, which learns nothing.

    Raises :class:`InputError`, one line that names the field, for any other value.
    """

    method: str
    hyper: Mapping[str, Json] = field(default_factory=dict)
    role: Literal["start", "teacher"] = "start"

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or not self.method.strip():
            raise InputError(f"Parent: method = {self.method!r} must be the name of a method")
        if not isinstance(self.hyper, Mapping):
            raise InputError(f"Parent: hyper = {self.hyper!r} must be a mapping, for example {{}}")
        one_of("Parent: role", self.role, ("start", "teacher"))


def sampler_exponent(sampler: str | float) -> float:
    """
    >>> sampler_exponent("class-balanced"), sampler_exponent(0.5)
    (0.0, 0.5)
    """
    return _SAMPLERS[sampler] if isinstance(sampler, str) else float(sampler)


def _check_train(train: object) -> None:
    if isinstance(train, str):
        one_of("Phase: train", train, ("all", "heads"))
        return
    words = (
        "'all' or 'heads' or a set of 'trunk', 'heads' and 'extra', for example ('heads', 'extra')"
    )
    if not isinstance(train, tuple | list | set | frozenset) or not train:
        raise InputError(f"Phase: train = {train!r} must be {words}")
    for part in train:
        if part not in PARTS:
            hint = nearest(part, PARTS) if isinstance(part, str) else ""
            raise InputError(f"Phase: train = {train!r}: {part!r} must be one of {words}{hint}")


def _check_sampler(field: str, sampler: object) -> None:
    if isinstance(sampler, str):
        one_of(f"Phase: {field}", sampler, tuple(_SAMPLERS))
        return
    is_number = isinstance(sampler, int | float) and not isinstance(sampler, bool)
    if not (is_number and math.isfinite(sampler) and abs(sampler) <= 4):  # type: ignore[arg-type]
        raise InputError(
            f"Phase: {field} = {sampler!r} must be 'instance', 'class-balanced' or the exponent q of "
            "p(class) ~ n^q, a number from -4 to 4"
        )


def _check_views(views: object) -> None:
    if not isinstance(views, tuple) or not views:
        raise InputError(
            f"Phase: views = {views!r} must be a tuple of 'recipe', 'strong' and 'simclr', for example "
            "('recipe', 'strong')"
        )
    for view in views:
        one_of("Phase: views: a view", view, VIEWS)
