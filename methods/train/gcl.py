"""GCL: rare classes' cosines lowered at random while features are learnt, then a balanced classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Images, Method, Phase, Reference, Seen, log_prior
from ltbench.mixing import beta, mixed_with, soft_targets
from ltbench.settings import setting

CLASSIFIER = "classifier"


@dataclass(frozen=True)
class GclHyper(Hyper):
    noise: float = setting(
        0.5, low=0, help="a, the largest that the rarest class loses, in cosines"
    )
    alpha: float = setting(1.0, low=0, help="mixup's Beta(alpha, alpha); 0: no mixup")
    scale: float = setting(30.0, above=0, help="scale of the cosines in the first stage")
    classifier_scale: float = setting(20.0, above=0, help="in the second stage, and in predictions")
    margin: float = setting(
        0.1, low=0, help="what the target loses in the second stage, in cosines"
    )
    focal: float = setting(1.0, low=0, help="exponent of (1 - p_y) in the second stage")
    classifier_epochs: float = setting(
        0.15, above=0, help="epochs of the second stage, relative to those of the first"
    )
    classifier_lr: float = setting(0.08, above=0, help="its first rate, times that of the recipe")


class Gcl(Method[GclHyper]):
    """c'_j = c_j - a |e_j| (log n_max - log n_j) / log(n_max / n_min), e ~ N(0, 1/3) cut to [-1, 1], a
    draw an image and class; L = CE(s c', y) on mixed images (mixup).

    Second stage, on the frozen trunk with classes equally likely: the head goes on with m less on the
    target, another s, and each -log p_y times (1 - p_y)^g, whose slope is not taken. A mixed image's
    loss is t_c times that of target c. Departs from the published code in one thing: that draws e for
    each of the two labels.

    No closed prior. Reference: log pi of the sampler, and log E exp(-k |e|) = (k/3)^2 / 2 + log Phi(-k/3)
    and a constant, k = s a (log n_max - log n_j) / log(n_max / n_min).
    """

    name: ClassVar = "gcl"
    title: ClassVar = "GCL (Gaussian clouded logits)"
    hyper_type: ClassVar = GclHyper
    reference: ClassVar = Reference(
        authors="Li, Cheung, Lu",
        title="Long-tailed visual recognition via Gaussian clouded logit adjustment",
        venue="CVPR",
        year=2022,
        url="https://arxiv.org/abs/2305.11733",
        settings={
            "noise": 0.5,
            "alpha": 1.0,
            "scale": 30.0,
            "classifier_scale": 20.0,
            "margin": 0.1,
            "focal": 1.0,
            "classifier_epochs": 0.15,
            "classifier_lr": 0.08,
            "recipe.epochs": 230,
            "recipe.batch_size": 64,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
        },
        settings_source="losses.py, cifar_train_backbone.py and cifar_train_classifier.py of "
        "Keke921/GCLLoss; the classifier starts from the last epoch, not from the best on test images",
    )

    def __init__(self, counts: Tensor, hyper: GclHyper) -> None:
        super().__init__(counts, hyper)
        rarity = (counts.max() / counts.double()).log()
        self._lost = (hyper.noise * rarity / rarity.max().clamp_min(1e-12)).float()

    def architecture(self) -> Architecture:
        return Architecture(head="cosine", scale=self.hyper.classifier_scale)

    def phases(self) -> tuple[Phase, ...]:
        hyper = self.hyper
        return (
            Phase("features"),
            Phase(
                CLASSIFIER,
                hyper.classifier_epochs,
                train="heads",
                sampler="class-balanced",
                lr=hyper.classifier_lr,
                schedule="cosine",
            ),
        )

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        noise = (torch.randn(batch, len(self.counts), generator=rng) / 3).clamp(-1, 1)
        if self.hyper.alpha == 0:
            return (noise,)
        return noise, beta(self.hyper.alpha, 1, rng), torch.randperm(batch, generator=rng)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        if len(draws) == 1:
            return first
        _, weight, partner = draws
        return mixed_with(first, partner, weight, len(self.counts))

    def objective(self, seen: Seen) -> Tensor:
        hyper = self.hyper
        last = seen.phase == CLASSIFIER
        scale = hyper.classifier_scale if last else hyper.scale
        cosines = seen.logits[0, :, 0] / hyper.classifier_scale - self._lost * seen.draws[0].abs()
        h = target_losses(scale * cosines, scale * hyper.margin if last else 0.0)
        if last:
            h = (1 - (-h.detach()).exp()) ** hyper.focal * h
        return (soft_targets(seen.targets, len(self.counts)) * h).sum(dim=1).mean()

    def loss_stage(self, progress: float) -> bool:
        return progress * (1 + self.hyper.classifier_epochs) >= 1  # whether the classifier learns

    def reference_bias(self) -> Tensor:
        k = self.hyper.classifier_scale * self._lost / 3
        left: Tensor = k**2 / 2 + torch.special.log_ndtr(-k)
        return (log_prior(self.counts) + left)[None]


def target_losses(logits: Tensor, margin: float) -> Tensor:
    """``(B, C)``: cross-entropy with target c, whose logit alone is ``margin`` lower.

    With p = softmax(z) that is -log p_c + margin + log(1 - p_c (1 - exp(-margin))).
    """
    log_p = logits.log_softmax(dim=1)
    if margin == 0:
        return -log_p
    lowered = torch.expm1(torch.tensor(-margin, dtype=logits.dtype, device=logits.device))
    return margin - log_p + torch.log1p(log_p.exp() * lowered)
