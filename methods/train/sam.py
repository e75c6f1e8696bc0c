"""SAM: balanced softmax, its gradient taken where the loss nearby is worst."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class SamHyper(Hyper):
    rho: float = setting(0.05, above=0, help="length of the step towards a larger loss")
    tau: float = setting(1.0, low=0, help="strength of the shift in the loss; 0: cross-entropy")


class Sam(Method[SamHyper]):
    """w <- w - lr grad L(w + rho g / |g|), g = grad L(w), L = -log softmax(z + tau log pi)_y.

    Two passes a step over the same images; BatchNorm statistics move in both, as published. The prior
    is that of the loss: bias tau log pi.
    """

    name: ClassVar = "sam"
    title: ClassVar = "SAM with balanced softmax"
    family = "sharpness"
    hyper_type: ClassVar = SamHyper
    reference: ClassVar = Reference(
        authors="Foret, Kleiner, Mobahi, Neyshabur",
        title="Sharpness-aware minimization for efficiently improving generalization",
        venue="ICLR",
        year=2021,
        url="https://arxiv.org/abs/2010.01412",
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

    def bias(self) -> Tensor:
        return self.hyper.tau * log_prior(self.counts)[None]

    def advance(self, descend: Callable[..., Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        loss = descend()
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        weights = [p for p in weights if p.grad is not None]
        with torch.no_grad():
            slopes = [p.grad for p in weights]
            length = torch.stack(torch._foreach_norm(slopes)).norm().clamp_min(1e-12)
            before = [p.clone() for p in weights]
            torch._foreach_add_(weights, torch._foreach_mul(slopes, self.hyper.rho / length))
        descend()
        with torch.no_grad():
            torch._foreach_copy_(weights, before)
        optimizer.step()
        return loss
