"""Heads on frozen features: what is trained where a pre-trained encoder stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltbench.backbone import Backbone, FeatureModel
from ltbench.errors import InputError
from ltbench.request import Architecture

if TYPE_CHECKING:
    from torch import nn


class Frozen(Backbone):
    """No network below the heads; of source ``features``."""

    name, title = "frozen", "Heads on frozen features"
    takes_weights = False

    def build(self, classes: int, request: Architecture, shared: int) -> nn.Module:
        raise InputError(f"backbone {self.name!r} takes features, not images")

    def build_on(self, features: FeatureModel, classes: int, request: Architecture) -> nn.Module:
        from ltbench.models.frozen import FrozenNetwork

        return FrozenNetwork(features, classes, request)
