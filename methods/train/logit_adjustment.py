"""Logit adjustment, after training (default) or in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper, Json
from ltbench.method import Method, Reference, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class LogitAdjustmentHyper(Hyper):
    tau: float = setting(1.0, low=0, help="strength; 1 is Bayes-optimal for the balanced error")
    where: str = setting(
        "post-hoc", choices=("post-hoc", "loss"), help="adjust predictions of ce, or train with it"
    )


class LogitAdjustment(Method[LogitAdjustmentHyper]):
    """post-hoc: train cross-entropy, predict argmax z - tau log pi.
    loss: L = -log softmax(z + tau log pi)_y, predict argmax z; at tau = 1 balanced softmax.
    """

    name: ClassVar = "logit-adjustment"
    title: ClassVar = "Logit adjustment"
    mean_over_images = True
    hyper_type: ClassVar = LogitAdjustmentHyper
    reference: ClassVar = Reference(
        authors="Menon, Jayasumana, Rawat, Jain, Veit, Kumar",
        title="Long-tail learning via logit adjustment",
        venue="ICLR",
        year=2021,
        url="https://arxiv.org/abs/2007.07314",
    )

    @property
    def post_hoc(self) -> bool:
        return self.hyper.where == "post-hoc"

    def training_identity(self) -> tuple[str, Mapping[str, Json]]:
        return ("ce", {}) if self.post_hoc else super().training_identity()

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

    def predict(self, logits: Tensor) -> Tensor:
        scores = logits.mean(dim=1)
        return scores - self.hyper.tau * log_prior(self.counts) if self.post_hoc else scores

    def bias(self) -> Tensor:
        strength = 0.0 if self.post_hoc else self.hyper.tau
        return strength * log_prior(self.counts)[None]
