"""The contract of a backbone: a network with E expert heads, built as a method asks for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ltbench.errors import InputError
from ltbench.request import Architecture

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FeatureModel:
    """The heads on frozen features of ``dim`` numbers, as a protocol's ``[model]`` asks for them."""

    dim: int
    input: str = "none"
    head: str = "method"
    scale: float | None = None
    head_bias: bool = True
    adapter: float = 0.0


class Backbone(ABC):
    """A family member of networks; one file in ``ltbench/models/shipped`` or a third party's plugin.

    It builds modules. ltbench draws their weights: convolutions He normal, heads as their ``reset``
    says, whatever else a constructor draws from torch's global generator, which is seeded by the trial.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    fan: ClassVar[Literal["fan_in", "fan_out"]] = "fan_out"
    """Of the convolutions' He normal initialisation: deviation sqrt(2 / fan)."""
    shared_stages: ClassVar[tuple[int, ...]] = ()
    """What ``[model] shared`` may be, the last stage that the experts share; the first is the usual one.
    Empty: where they part is fixed."""
    takes_weights: ClassVar[bool] = True
    """Whether ``[model.pretrained]`` can fill it, which needs the network to be an
    ``ltbench.models.network.SplitNetwork``."""
    head_names: ClassVar[tuple[str, ...]] = ("fc.",)
    """How the names of a classifier begin in a file of weights: heads start fresh whatever it holds."""

    @abstractmethod
    def build(self, classes: int, request: Architecture, shared: int) -> nn.Module:
        """The network, an ``ltbench.models.network.ExpertNetwork``: ``(B, 3, H, W)`` to ``(B, E, C)``.

        shared: one of :attr:`shared_stages`, 0 where it lists none. Import torchvision and the like
        here, not at the head of the file. Raises :class:`InputError`, one line, where it cannot hold
        ``request``.
        """

    def build_on(self, features: FeatureModel, classes: int, request: Architecture) -> nn.Module:
        """The same on frozen features: ``(B, D)`` to ``(B, E, C)``. Of the backbone ``frozen`` alone."""
        raise InputError(f"backbone {self.name!r} takes images, not features")


@dataclass(frozen=True)
class ChosenBackbone:
    """A backbone, and the last stage that its experts share: what a protocol's ``[model]`` asks for."""

    cls: type[Backbone]
    shared: int
    features: FeatureModel | None = None
    """Of the backbone ``frozen`` alone."""

    @classmethod
    def of(cls, backbone: type[Backbone], shared: int | None = None) -> ChosenBackbone:
        """``shared``: None for the usual one. Raises :class:`InputError` for one that it does not have."""
        known = backbone.shared_stages
        if shared is None:
            return cls(backbone, known[0] if known else 0)
        if shared not in known:
            can = (
                f"must be one of: {', '.join(map(str, sorted(known)))}" if known else "is not known"
            )
            raise InputError(f"shared = {shared} {can} for backbone {backbone.name!r}")
        return cls(backbone, shared)

    @property
    def name(self) -> str:
        return self.cls.name

    def build(self, classes: int, request: Architecture) -> nn.Module:
        """See :meth:`Backbone.build`; weights are whatever the constructors drew."""
        if self.features is not None:
            return self.cls().build_on(self.features, classes, request)
        return self.cls().build(classes, request, self.shared)
