"""What every backbone with expert heads has in common, and one that is made of a trunk and branches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ltbench.method import Architecture
from ltbench.models.heads import make_head, without_autocast


class ExpertNetwork(nn.Module):
    """E experts, each with a head of its own or one for all. forward: ``(B, 3, H, W)`` to ``(B, E, C)``.

    A subclass sets ``feature_width`` D, ``experts`` (a ModuleList; each has a ``head``, None where
    one serves all) and ``head``, and says what :meth:`trunk_of` computes.
    """

    feature_width: int
    experts: nn.ModuleList
    head: nn.Module | None

    @abstractmethod
    def trunk_of(self, images: Tensor) -> Tensor:
        """What every expert is given: ``(B, 3, H, W)`` to a feature map, or the images themselves."""

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, E, C)`` logits, and the ``(B, E, D)`` float32 features that the heads were given."""
        shared = self.trunk_of(images)
        return self.through_heads([expert(shared) for expert in self.experts])

    def through_heads(self, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The same from what each expert found, ``(B, D)``."""
        logits, features = [], []
        for expert, own in zip(self.experts, found, strict=True):
            # The head and everything behind it work in float32 whatever the precision of the rest.
            with without_autocast(own.device):
                features.append(own.float())
                logits.append(self.head_of(expert)(features[-1]))
        return torch.stack(logits, dim=1), torch.stack(features, dim=1)

    def blank(self, image_size: int) -> Tensor:
        """A single input, black: ``(1, 3, image_size, image_size)`` unless it takes something else."""
        return torch.zeros(1, 3, image_size, image_size)

    def head_of(self, expert: nn.Module) -> nn.Module:
        """The head of ``expert``, one of :attr:`experts`."""
        head = expert.head if self.head is None else self.head
        assert isinstance(head, nn.Module)
        return head

    def heads(self) -> Iterator[nn.Module]:
        """The head of each expert, or the one that all share."""
        if self.head is not None:
            yield self.head
            return
        yield from map(self.head_of, self.experts)

    def set_head(self, expert: int, head: nn.Module) -> None:
        """Replaces the head of ``expert``, or the one that all share: ``(B, D)`` to ``(B, C)``."""
        if self.head is not None:
            self.head = head
        else:
            self.experts[expert].head = head


class SplitNetwork(ExpertNetwork):
    """A trunk that experts share, a branch for each, and global average pooling.

    trunk: makes the module from images ``(B, 3, H, W)`` to a map; branch: makes one from that map to
    the last, ``(B, width, h, w)``, for each expert. ``request.share`` is obeyed: ``stage1`` as said,
    ``nothing``: every expert has a trunk, too; ``features``: one trunk and one branch, and for each
    expert a BatchNorm of its own on the last map.
    """

    def __init__(
        self,
        trunk: Callable[[], nn.Module],
        branch: Callable[[], nn.Module],
        width: int,
        classes: int,
        request: Architecture,
    ) -> None:
        super().__init__()
        self.feature_width = width
        self.trunk = nn.Identity() if request.share == "nothing" else trunk()
        shared_branch = request.share == "features"
        self.branch = branch() if shared_branch else nn.Identity()
        self.experts = nn.ModuleList()
        for _ in range(request.experts):
            head = None if request.shared_head else make_head(request, width, classes)
            own = None if shared_branch else branch()
            part = trunk() if request.share == "nothing" else None
            self.experts.append(SplitExpert(part, own, width, head))
        self.head = make_head(request, width, classes) if request.shared_head else None

    def trunk_of(self, images: Tensor) -> Tensor:
        found: Tensor = self.branch(self.trunk(images))
        return found


class SplitExpert(nn.Module):
    """One expert's own part. forward: what the trunk gives to ``(B, D)``, by global average pooling."""

    def __init__(
        self, trunk: nn.Module | None, branch: nn.Module | None, width: int, head: nn.Module | None
    ) -> None:
        super().__init__()
        self.trunk = nn.Identity() if trunk is None else trunk
        self.branch = nn.Identity() if branch is None else branch
        self.norm = nn.BatchNorm2d(width) if branch is None else nn.Identity()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.norm(self.branch(self.trunk(x))).mean(dim=(2, 3))
        return features
