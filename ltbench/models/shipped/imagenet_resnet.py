"""The ResNets for large images, of torchvision's parts: resnet10, resnet50, resnext50_32x4d, resnet152."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltbench.backbone import Backbone
from ltbench.request import Architecture

if TYPE_CHECKING:
    from torch import nn


class _ImageNetResNet(Backbone):
    """Four stages of 64, 128, 256 and 512 planes; experts usually part behind the second."""

    shared_stages = (2, 1, 3)

    def build(self, classes: int, request: Architecture, shared: int) -> nn.Module:
        from ltbench.models.imagenet_resnet import imagenet_resnet

        return imagenet_resnet(self.name, classes, request, shared)


class ResNet10(_ImageNetResNet):
    """One basic block a stage."""

    name, title = "resnet10", "ResNet-10 for images of 224 pixels"


class ResNet50(_ImageNetResNet):
    """Bottlenecks, 3, 4, 6 and 3 a stage."""

    name, title = "resnet50", "ResNet-50 for images of 224 pixels"


class ResNeXt50(_ImageNetResNet):
    """As ResNet-50, with 3x3 convolutions of 32 groups."""

    name, title = "resnext50_32x4d", "ResNeXt-50 32x4d for images of 224 pixels"


class ResNet152(_ImageNetResNet):
    """Bottlenecks, 3, 8, 36 and 3 a stage."""

    name, title = "resnet152", "ResNet-152 for images of 224 pixels"
