"""The ResNets for small images (He et al. 2016, section 4.2): resnet8, resnet14, resnet20, resnet32."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from ltbench.backbone import Backbone
from ltbench.request import Architecture

if TYPE_CHECKING:
    from torch import nn


class _CifarResNet(Backbone):
    """Three stages of 16, 32 and 64 channels; stem and first stage are what experts usually share."""

    fan: ClassVar[Literal["fan_in", "fan_out"]] = "fan_in"
    takes_weights = False

    def build(self, classes: int, request: Architecture, shared: int) -> nn.Module:
        from ltbench.models.resnet import ExpertResNet

        return ExpertResNet(self.name, classes, request)


class ResNet8(_CifarResNet):
    """One block a stage."""

    name, title = "resnet8", "ResNet-8 for images of 32 pixels"


class ResNet14(_CifarResNet):
    """Two blocks a stage."""

    name, title = "resnet14", "ResNet-14 for images of 32 pixels"


class ResNet20(_CifarResNet):
    """Three blocks a stage."""

    name, title = "resnet20", "ResNet-20 for images of 32 pixels"


class ResNet32(_CifarResNet):
    """Five blocks a stage."""

    name, title = "resnet32", "ResNet-32 for images of 32 pixels"
