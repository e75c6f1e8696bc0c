"""A network of expert heads on frozen features: nothing is shared, nothing convolves."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.backbone import FeatureModel
from ltbench.method import Architecture
from ltbench.models.heads import CosineHead, LinearHead, without_autocast
from ltbench.models.network import ExpertNetwork

_LEAST = 1e-6
"""Of a deviation: a number that never changes is not divided by 0."""


class FrozenNetwork(ExpertNetwork):
    """E heads, each behind an adapter of its own if asked. forward: ``(B, D)`` to ``(B, E, C)``.

    Or ``(B, E, D)``: features of each expert's own. ``centre`` and ``spread`` ``(D,)`` are of the
    training features and never learn: f' = (f - centre) / spread, or f / |f| with the input ``l2``.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, features: FeatureModel, classes: int, request: Architecture) -> None:
        super().__init__()
        if features.head == "linear":
            request = replace(request, head="linear")
        elif features.head == "cosine":
            request = replace(request, head="cosine")
        if features.scale is not None:
            request = replace(request, scale=features.scale)
        self.feature_width = features.dim
        self.input = features.input
        self.register_buffer("centre", torch.zeros(features.dim))
        self.register_buffer("spread", torch.ones(features.dim))

        def head() -> nn.Module:
            if request.head == "cosine":
                return FeatureCosineHead(
                    features.dim, classes, request.scale, bias=features.head_bias
                )
            return FeatureLinearHead(features.dim, classes, bias=features.head_bias)

        self.head = head() if request.shared_head else None
        self.experts = nn.ModuleList(
            FrozenExpert(features, None if request.shared_head else head())
            for _ in range(request.experts)
        )

    def trunk_of(self, images: Tensor) -> Tensor:
        if self.input == "l2":
            return F.normalize(images, dim=-1)
        return images if self.input == "none" else (images - self.centre) / self.spread

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        shared = self.trunk_of(images)
        logits, features = [], []
        for i, expert in enumerate(self.experts):
            own = shared if shared.ndim == 2 else shared[:, i].contiguous()
            found = expert(own)
            with without_autocast(found.device):
                features.append(found.float())
                logits.append(self.head_of(expert)(features[-1]))
        return torch.stack(logits, dim=1), torch.stack(features, dim=1)

    def blank(self, image_size: int) -> Tensor:
        return torch.zeros(1, self.feature_width)

    def measure(self, features: Tensor) -> None:
        """Sets the buffers from the training features ``(N, D)`` or ``(N, S, D)``, of all sets together."""
        rows = features.reshape(-1, features.shape[-1]).double()
        if self.input in ("centre", "standard"):
            self.centre.copy_(rows.mean(dim=0))
        if self.input == "standard":
            self.spread.copy_(rows.std(dim=0, correction=0).clamp_min(_LEAST))

    def start_from(self, rows: Tensor) -> None:
        """Every head starts from the directions ``rows`` ``(C, D)``, of length 1, without bias."""
        weight = F.normalize(rows.float(), dim=1)
        with torch.no_grad():
            for head in self.heads():
                if isinstance(head, CosineHead):
                    head.weight.copy_(weight.T)
                elif isinstance(head, LinearHead):
                    head.weight.copy_(weight)
                bias = getattr(head, "bias", None)
                if isinstance(bias, Tensor):
                    bias.zero_()

    def class_means(self, features: Tensor, labels: Tensor, classes: int) -> Tensor:
        """``(C, D)``: the mean of each class's features, as the heads are given them before training."""
        with torch.no_grad():
            rows = self.trunk_of(features.float())
        rows = rows if rows.ndim == 2 else rows.mean(dim=1)
        sums = rows.new_zeros(classes, rows.shape[1]).index_add_(0, labels, rows)
        return sums / torch.bincount(labels, minlength=classes).clamp_min(1)[:, None]


class FrozenExpert(nn.Module):
    """One expert's own part: its adapter, if there is one. forward: ``(B, D)`` to ``(B, D)``."""

    def __init__(self, features: FeatureModel, head: nn.Module | None) -> None:
        super().__init__()
        ratio = features.adapter
        self.adapter = Adapter(features.dim, ratio) if ratio else nn.Identity()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.adapter(x)
        return found


class Adapter(nn.Linear):
    """r W f + (1 - r) f with a square W, without bias. forward: ``(B, D)`` to ``(B, D)``.

    Source: Ma et al. 2021 (BALLAD), whose r is 0.2.
    """

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__(dim, dim, bias=False)
        self.ratio = ratio

    def reset(self, generator: torch.Generator) -> None:
        bound = self.in_features**-0.5
        with torch.no_grad():
            self.weight.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.ratio * F.linear(x, self.weight) + (1 - self.ratio) * x


class FeatureLinearHead(LinearHead):
    """W f + b, or W f. Its bias has no weight decay."""

    def __init__(self, features: int, classes: int, *, bias: bool) -> None:
        super().__init__(features, classes, bias=bias)
        self.undecayed = ("bias",) if bias else ()

    def reset(self, generator: torch.Generator) -> None:
        if self.undecayed:
            super().reset(generator)
        else:
            with torch.no_grad():
                nn.init.kaiming_normal_(self.weight, generator=generator)


class FeatureCosineHead(CosineHead):
    """s cos(f, w_c) + b_c, or without b. The bias starts at 0 and has no weight decay.

    With b the mean of the posteriors over the training images can be the training prior, which a
    bounded cosine alone cannot reach for rare classes.
    """

    def __init__(self, features: int, classes: int, scale: float, *, bias: bool) -> None:
        super().__init__(features, classes, scale)
        self.bias = nn.Parameter(torch.zeros(classes)) if bias else None
        self.undecayed = ("bias",) if bias else ()

    def reset(self, generator: torch.Generator) -> None:
        super().reset(generator)
        if self.bias is not None:
            with torch.no_grad():
                self.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        logits = super().forward(features)
        return logits if self.bias is None else logits + self.bias
