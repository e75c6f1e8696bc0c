"""CMO: boxes of images from a class-balanced stream pasted into the usual ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Images, Method, Phase, Reference, log_prior
from ltbench.mixing import beta, soft_cross_entropy, soft_targets
from ltbench.settings import setting


@dataclass(frozen=True)
class CmoHyper(Hyper):
    tau: float = setting(1.0, low=0, help="strength of the shift in the loss; 0: cross-entropy")
    pasted: float = setting(
        0.0, low=-4, high=4, help="q of p(class) ~ n^q of the boxes; 0: equally likely"
    )
    probability: float = setting(0.5, low=0, high=1, help="of pasting, batch by batch")
    alpha: float = setting(1.0, above=0, help="of Beta(alpha, alpha), the box's part of the image")
    start: float = setting(0.02, low=0, high=1, help="progress from which boxes are pasted")
    end: float = setting(0.985, low=0, high=1, help="progress from which none are")


class Cmo(Method[CmoHyper]):
    """L = mean of -sum_c t_c log softmax(z + tau log pi)_c on first images with a box of second ones.

    With ``probability``, between ``start`` and ``end``, each image of a batch gets the same box of its
    partner in a stream with p(class) ~ n^q: sides sqrt(1 - w), w ~ Beta(a, a), the centre any pixel, cut
    off at the border. t = (1 - s) y + s y', s the part of the pixels that was pasted.

    The labels then follow g n^q / sum n^q + (1 - g) pi, g the mean part pasted; bias tau log pi is that
    of the loss, and tau log pi + log pi - log of that distribution the reference.
    """

    name: ClassVar = "cmo"
    title: ClassVar = "CMO with balanced softmax"
    family = "mixing"
    needs_images = True
    hyper_type: ClassVar = CmoHyper
    reference: ClassVar = Reference(
        authors="Park, Hong, Heo, Yun, Choi",
        title="The majority can help the minority: Context-rich minority oversampling for long-tailed "
        "classification",
        venue="CVPR",
        year=2022,
        url="https://arxiv.org/abs/2112.00412",
        settings={
            "tau": 1.0,
            "pasted": 0.0,
            "probability": 0.5,
            "alpha": 1.0,
            "start": 0.02,
            "end": 0.985,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 2e-4,
        },
        settings_source="opts.py and cifar_train.py of naver-ai/cmo",
    )

    def __init__(self, counts: Tensor, hyper: CmoHyper) -> None:
        super().__init__(counts, hyper)
        self._shift = hyper.tau * log_prior(counts)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(second=self.hyper.pasted),)

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Width and height of the box, then its centre, all as parts of the image; 0 for no box."""
        hyper = self.hyper
        part = 1 - beta(hyper.alpha, 1, rng)
        coin, column, row = torch.rand(3, 1, generator=rng)
        pastes = (coin < hyper.probability) & (hyper.start <= progress < hyper.end)
        side = torch.where(pastes, part.sqrt(), torch.zeros(1))
        return (torch.cat([side, column, row]),)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        side, column, row = draws[0]
        height, width = first.pixels.shape[2:]
        box = (_span(height, row, side)[:, None] & _span(width, column, side)).to(first.pixels)
        part = box.mean()
        own, other = (soft_targets(each.targets, len(self.counts)) for each in (first, second))
        return Images(
            torch.where(box > 0, second.pixels, first.pixels), (1 - part) * own + part * other
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
        return soft_cross_entropy(logits[:, 0] + self._shift, targets)

    def pasted_part(self) -> float:
        """The mean part of the pixels that is pasted over, on images of many pixels.

        A side of s keeps s - s^2/4 of it within the image, on average, so that E (s - s^2/4)^2 is wanted
        for s^2 ~ Beta(a, a).
        """
        hyper = self.hyper
        within = (
            _moment(hyper.alpha, 1) - _moment(hyper.alpha, 1.5) / 2 + _moment(hyper.alpha, 2) / 16
        )
        return hyper.probability * max(hyper.end - hyper.start, 0.0) * within

    def reference_bias(self) -> Tensor:
        n = self.counts.double()
        others = n**self.hyper.pasted
        part = self.pasted_part()
        labels = (1 - part) * n / n.sum() + part * others / others.sum()
        return (self._shift + log_prior(self.counts) - labels.log().float())[None]


def _span(pixels: int, centre: Tensor, side: Tensor) -> Tensor:
    """``(pixels,)`` bool: from the middle pixel half of the side's pixels to the left and right."""
    middle, half = (centre * pixels).floor(), ((side * pixels).floor() / 2).floor()
    place = torch.arange(pixels, device=centre.device)
    return (place >= middle - half) & (place < middle + half)


def _moment(alpha: float, power: float) -> float:
    """E v^power for v ~ Beta(alpha, alpha)."""
    gamma = math.lgamma
    below = gamma(2 * alpha + power) + gamma(alpha)
    return math.exp(gamma(alpha + power) + gamma(2 * alpha) - below)
