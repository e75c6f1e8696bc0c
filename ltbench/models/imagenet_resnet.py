"""torchvision's ResNet family with expert branches: any split, any width of a stage."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from ltbench.method import Architecture
from ltbench.models.network import SplitNetwork


class _Kind(NamedTuple):
    block: type[BasicBlock] | type[Bottleneck]
    layers: tuple[int, int, int, int]
    groups: int = 1
    base_width: int = 64


_KINDS = {
    "resnet10": _Kind(BasicBlock, (1, 1, 1, 1)),
    "resnet50": _Kind(Bottleneck, (3, 4, 6, 3)),
    "resnext50_32x4d": _Kind(Bottleneck, (3, 4, 6, 3), groups=32, base_width=4),
    "resnet152": _Kind(Bottleneck, (3, 8, 36, 3)),
}
_PLANES = (64, 128, 256, 512)


class _Stages(ResNet):  # type: ignore[misc]  # torchvision has no types
    """Makes stages of any width with torchvision's own code; holds no weights itself."""

    def __init__(self, kind: _Kind) -> None:
        with torch.device("meta"):  # its own stages are never used
            super().__init__(
                kind.block,
                list(kind.layers),
                num_classes=1,
                groups=kind.groups,
                width_per_group=kind.base_width,
            )
        self.kind = kind

    def stages(self, first: int, last: int, planes: tuple[int, ...]) -> list[tuple[str, nn.Module]]:
        """``layer{first}`` to ``layer{last}`` by name."""
        kind = self.kind
        self.inplanes = 64 if first == 1 else planes[first - 2] * kind.block.expansion
        return [
            (
                f"layer{stage}",
                self._make_layer(
                    kind.block, planes[stage - 1], kind.layers[stage - 1], 1 if stage == 1 else 2
                ),
            )
            for stage in range(first, last + 1)
        ]


def imagenet_resnet(name: str, classes: int, request: Architecture, shared: int) -> SplitNetwork:
    """The network called ``name``; stem and stages up to ``shared`` (1 to 3) are the trunk.

    ``request.reduced``: 3/4 of the planes in the stages behind ``shared``. With one expert of full
    width it is torchvision's. Names of weights are torchvision's behind ``trunk.`` or ``experts.E.branch.``.
    """
    make = _Stages(_KINDS[name])
    planes = tuple(
        width * 3 // 4 if request.reduced and stage > shared else width
        for stage, width in enumerate(_PLANES, 1)
    )

    def trunk() -> nn.Module:
        stem: list[tuple[str, nn.Module]] = [
            ("conv1", nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)),
            ("bn1", nn.BatchNorm2d(64)),
            ("relu", nn.ReLU(inplace=True)),
            ("maxpool", nn.MaxPool2d(3, 2, padding=1)),
        ]
        return _named([*stem, *make.stages(1, shared, planes)])

    def branch() -> nn.Module:
        return _named(make.stages(shared + 1, 4, planes))

    width = planes[3] * make.kind.block.expansion
    return SplitNetwork(trunk, branch, width, classes, request)


def _named(modules: Iterable[tuple[str, Any]]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))
