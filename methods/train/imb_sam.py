"""ImbSAM: sharpness-aware for the rare classes alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference, Seen, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class ImbSamHyper(Hyper):
    rho: float = setting(0.05, above=0, help="length of the step towards a larger loss of the tail")
    below: int = setting(20, low=0, help="classes of fewer training images are the tail")
    tau: float = setting(1.0, low=0, help="strength of the shift in the loss; 0: cross-entropy")


class ImbSam(Method[ImbSamHyper]):
    """w <- w - lr [grad R(w) + grad T(w + rho g / |g|)], g = grad T(w), R + T = L.

    L = -log softmax(z + tau log pi)_y, the mean over the batch; T is what the images of the tail add
    to it, n_y < ``below``, R the rest. The prior is that of L: bias tau log pi. Its paper has tau = 0.

    Three passes a step over the same images, where the published code has two with two slopes from
    the first: BatchNorm statistics move once more. A batch without tail images is a step on R.
    """

    name: ClassVar = "imb-sam"
    title: ClassVar = "ImbSAM with balanced softmax"
    family = "sharpness"
    hyper_type: ClassVar = ImbSamHyper
    reference: ClassVar = Reference(
        authors="Zhou, Qu, Xu, Shen",
        title="ImbSAM: A closer look at sharpness-aware minimization in class-imbalanced recognition",
        venue="ICCV",
        year=2023,
        url="https://arxiv.org/abs/2308.07815",
        settings={
            "rho": 0.05,
            "below": 20,
            "recipe.epochs": 200,
            "recipe.batch_size": 64,
            "recipe.lr": 0.01,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 1e-3,
        },
        settings_source="defaults of scripts/train.py of cool-xuan/Imbalanced_SAM (ResNet-34, cosine "
        "schedule, cross-entropy: tau = 0)",
    )

    def loss_stage(self, progress: float) -> int:
        return 0

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        return F.cross_entropy(logits[:, 0] + self.bias()[0], targets)

    def objective(self, seen: Seen) -> Tensor:
        if not seen.part:
            return super().objective(seen)
        shifted = seen.logits[0, :, 0] + self.bias()[0]
        each = F.cross_entropy(shifted, seen.targets, reduction="none")
        tail = self.counts[seen.targets] < self.hyper.below
        # Masked, not selected: no shape depends on data, so that the step can be recorded.
        return (each * (tail if seen.part == "tail" else ~tail)).mean()

    def bias(self) -> Tensor:
        return self.hyper.tau * log_prior(self.counts)[None]

    def advance(self, descend: Callable[..., Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        loss = descend("rest")
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        weights = [p for p in weights if p.grad is not None]
        rest = [p.grad.clone() for p in weights]
        loss = loss + descend("tail")
        with torch.no_grad():
            slopes = [p.grad for p in weights]
            length = torch.stack(torch._foreach_norm(slopes)).norm().clamp_min(1e-12)
            before = [p.clone() for p in weights]
            torch._foreach_add_(weights, torch._foreach_mul(slopes, self.hyper.rho / length))
        descend("tail")
        with torch.no_grad():
            torch._foreach_copy_(weights, before)
            torch._foreach_add_([p.grad for p in weights], rest)
        optimizer.step()
        return loss
