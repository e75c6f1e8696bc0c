"""The CIFAR ResNet (He et al. 2016, section 4.2) with a shared trunk and expert branches."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.method import Architecture
from ltbench.models.blocks import BasicBlock as BasicBlock
from ltbench.models.blocks import stage
from ltbench.models.experts import Branch, Expert, WholeExpert, Widths
from ltbench.models.heads import make_head
from ltbench.models.network import ExpertNetwork

BLOCKS_PER_STAGE = {"resnet8": 1, "resnet14": 2, "resnet20": 3, "resnet32": 5}
_WIDTHS: Widths = (16, 32, 64)
_REDUCED: Widths = (16, 24, 48)  # RIDE's and SADE's experts: second and third stage at 3/4


class ExpertResNet(ExpertNetwork):
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
        self.head = None
        if request.shared_head:
            self.head = make_head(request, widths[2], classes)

    def trunk_of(self, images: Tensor) -> Tensor:
        if self.share == "nothing":
            return images
        x: Tensor = self.stage1(F.relu(self.bn(self.conv(images)), inplace=True))
        if self.share == "features":
            x = self.stage3(self.stage2(x))
        return x


def _expert(request: Architecture, widths: Widths, blocks: int, classes: int) -> nn.Module:
    head = None if request.shared_head else make_head(request, widths[2], classes)
    if request.share == "features":
        return Branch(widths[2], head)
    return (WholeExpert if request.share == "nothing" else Expert)(widths, blocks, head)
