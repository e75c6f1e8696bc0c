"""The CIFAR ResNet (He et al. 2016, section 4.2) with a shared trunk and expert branches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import Architecture
from ltbench.models.blocks import BasicBlock as BasicBlock
from ltbench.models.blocks import stage
from ltbench.models.experts import Branch, Expert, WholeExpert, Widths
from ltbench.models.heads import CosineHead, LinearHead

BLOCKS_PER_STAGE = {"resnet8": 1, "resnet14": 2, "resnet20": 3, "resnet32": 5}
_WIDTHS: Widths = (16, 32, 64)
_REDUCED: Widths = (16, 24, 48)  # RIDE's and SADE's experts: second and third stage at 3/4


class ExpertResNet(nn.Module):
    """E experts with as much in common as ``request.share`` says. forward: ``(B, 3, H, W)`` to ``(B, E, C)``.

    With one expert of full width this is the plain CIFAR ResNet. Source of the usual split (a shared
    stem and first stage): RIDE (Wang et al. 2021) and SADE (Zhang et al. 2022), CIFAR models.
    """

    def __init__(self, backbone: str, classes: int, request: Architecture) -> None:
        super().__init__()
        blocks = BLOCKS_PER_STAGE[backbone]
        widths = _REDUCED if request.reduced else _WIDTHS
        self.share, self.feature_width = request.share, widths[2]
        if request.share != "nothing":
            self.conv = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
            self.bn = nn.BatchNorm2d(widths[0])
            self.stage1 = stage(widths[0], widths[0], blocks, 1)
        if request.share == "features":
            self.stage2 = stage(widths[0], widths[1], blocks, 2)
            self.stage3 = stage(widths[1], widths[2], blocks, 2)
        self.experts = nn.ModuleList(
            _expert(request, widths, blocks, classes) for _ in range(request.experts)
        )
        self.head: nn.Module | None = None
        if request.shared_head:
            self.head = _head(request, widths[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, E, C)`` logits, and the ``(B, E, D)`` float32 features that the heads were given."""
        shared = self._trunk(images)
        logits, features = [], []
        for expert in self.experts:
            found = expert(shared)
            # The head and everything behind it work in float32 whatever the precision of the rest.
            with torch.autocast(found.device.type, enabled=False):
                features.append(found.float())
                logits.append(self._head_of(expert)(features[-1]))
        return torch.stack(logits, dim=1), torch.stack(features, dim=1)

    def _trunk(self, x: Tensor) -> Tensor:
        if self.share == "nothing":
            return x
        x = self.stage1(F.relu(self.bn(self.conv(x)), inplace=True))
        if self.share == "features":
            x = self.stage3(self.stage2(x))
        return x

    def _head_of(self, expert: nn.Module) -> nn.Module:
        head = expert.head if self.head is None else self.head
        assert isinstance(head, nn.Module)
        return head

    def heads(self) -> Iterator[nn.Module]:
        """The head of each expert, or the one that all share."""
        if self.head is not None:
            yield self.head
            return
        yield from map(self._head_of, self.experts)

    def set_head(self, expert: int, head: nn.Module) -> None:
        """Replaces the head of ``expert``, or the one that all share: ``(B, D)`` to ``(B, C)``."""
        if self.head is not None:
            self.head = head
        else:
            self.experts[expert].head = head


def _expert(request: Architecture, widths: Widths, blocks: int, classes: int) -> nn.Module:
    head = None if request.shared_head else _head(request, widths[2], classes)
    if request.share == "features":
        return Branch(widths[2], head)
    return (WholeExpert if request.share == "nothing" else Expert)(widths, blocks, head)


def _head(request: Architecture, features: int, classes: int) -> CosineHead | LinearHead:
    if request.head == "cosine":
        return CosineHead(features, classes, request.scale)
    return LinearHead(features, classes)


def build_network(
    backbone: str, classes: int, request: Architecture, generator: torch.Generator
) -> ExpertResNet:
    """Builds and initialises a network on the CPU, from ``generator`` alone.

    Convolutions: He normal (fan-in), as in the published CIFAR code.
    """
    with torch.random.fork_rng(devices=[]):  # layer constructors draw from the global generator
        network = ExpertResNet(backbone, classes, request)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, CosineHead | LinearHead):
            module.reset(generator)
    return network


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(backbone: str, classes: int, request: Architecture, image_size: int) -> int:
    """Multiply-accumulate operations of one forward pass of one image (convolutions and heads)."""
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            kernel = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
            total += kernel * output[0].numel()
        elif isinstance(module, CosineHead | LinearHead):
            total += module.weight.numel()

    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        network = ExpertResNet(backbone, classes, request).eval()
        for module in network.modules():
            module.register_forward_hook(add)
        network(torch.zeros(1, 3, image_size, image_size))
    return total
