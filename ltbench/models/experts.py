"""What one expert has of its own: two stages, a whole network, or a BatchNorm on shared features."""

from __future__ import annotations

from torch import Tensor, nn

from ltbench.models.blocks import Stem, stage

Widths = tuple[int, int, int]


class Expert(nn.Module):
    """Second and third stage and global average pooling. forward: the first stage's map to ``(B, D)``.

    head: of the network's float32 features; None where one head serves all experts.
    """

    def __init__(self, widths: Widths, blocks: int, head: nn.Module | None) -> None:
        super().__init__()
        self.stage2 = stage(widths[0], widths[1], blocks, 2)
        self.stage3 = stage(widths[1], widths[2], blocks, 2)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.stage3(self.stage2(x)).mean(dim=(2, 3))
        return features


class WholeExpert(Expert):
    """The same with stem and first stage of its own. forward: images ``(B, 3, H, W)`` to ``(B, D)``."""

    def __init__(self, widths: Widths, blocks: int, head: nn.Module | None) -> None:
        super().__init__(widths, blocks, head)
        self.stem = Stem(widths[0], blocks)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.stem(x))


class Branch(nn.Module):
    """BatchNorm and global average pooling of a shared last map. forward: ``(B, D, H, W)`` to ``(B, D)``.

    Source: ResLT (Cui et al. 2022), CIFAR models.
    """

    def __init__(self, width: int, head: nn.Module | None) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(width)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.bn(x).mean(dim=(2, 3))
        return features
