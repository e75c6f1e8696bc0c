"""The CIFAR ResNet (He et al. 2016, section 4.2) with a shared trunk and expert branches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import Architecture
from ltbench.models.heads import CosineHead, LinearHead

BLOCKS_PER_STAGE = {"resnet8": 1, "resnet14": 2, "resnet20": 3, "resnet32": 5}
_WIDTHS = (16, 32, 64)
_REDUCED = (16, 24, 48)  # RIDE's and SADE's experts: second and third stage at 3/4


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and an option-A shortcut (no weights)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.padding = (outputs - inputs) // 2

    def shortcut(self, x: Tensor) -> Tensor:
        """Option A: every stride-th pixel, zero channels on both sides."""
        if self.stride == 1 and self.padding == 0:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.padding, self.padding))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)  # in place: no backward pass needs what BatchNorm put out
        return F.relu(out, inplace=True)


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


class Expert(nn.Module):
    """Second and third stage, global average pooling, head: one expert's own weights."""

    def __init__(
        self, widths: tuple[int, int, int], blocks: int, head: CosineHead | LinearHead
    ) -> None:
        super().__init__()
        self.stage2 = _stage(widths[0], widths[1], blocks, 2)
        self.stage3 = _stage(widths[1], widths[2], blocks, 2)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        features = self.stage3(self.stage2(x)).mean(dim=(2, 3))
        # The head and everything behind it work in float32 whatever the precision of the rest.
        with torch.autocast(x.device.type, enabled=False):
            logits: Tensor = self.head(features.float())
        return logits


class ExpertResNet(nn.Module):
    """A shared stem and first stage, and E experts. forward: ``(B, 3, H, W)`` to ``(B, E, C)``.

    With one expert of full width this is the plain CIFAR ResNet. Source of the split: RIDE (Wang
    et al. 2021) and SADE (Zhang et al. 2022), CIFAR models.
    """

    def __init__(self, backbone: str, classes: int, request: Architecture) -> None:
        super().__init__()
        blocks = BLOCKS_PER_STAGE[backbone]
        widths = _REDUCED if request.reduced else _WIDTHS
        self.conv = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        self.stage1 = _stage(widths[0], widths[0], blocks, 1)
        self.experts = nn.ModuleList(
            Expert(widths, blocks, _head(request, widths[2], classes))
            for _ in range(request.experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        shared = self.stage1(F.relu(self.bn(self.conv(x)), inplace=True))
        return torch.stack([expert(shared) for expert in self.experts], dim=1)

    def heads(self) -> Iterator[CosineHead | LinearHead]:
        for expert in self.experts:
            assert isinstance(expert, Expert)
            yield expert.head


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
