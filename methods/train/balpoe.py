"""BalPoE: a balanced product of experts, each with another prior, on mixed images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Images, Method, Reference, log_prior
from ltbench.mixing import beta, mixed_with
from ltbench.settings import setting


@dataclass(frozen=True)
class BalpoeHyper(Hyper):
    experts: int = setting(3, low=2, help="number of experts, their lambdas in equal steps")
    head: float = setting(1.0, help="lambda of the first expert; 1: the training prior")
    tail: float = setting(-1.0, help="lambda of the last expert; -1: the reversed prior")
    alpha: float = setting(0.4, low=0, help="mixup's Beta(alpha, alpha); 0: no mixup")
    scale: float = setting(30.0, above=0, help="scale of the cosine logits")
    reduced: bool = setting(False, help="second and third stage of each expert at 3/4 width")


class Balpoe(Method[BalpoeHyper]):
    """L = mean_e CE(z_e + (1 - lambda_e) log pi, t), one mixing weight w ~ Beta(a, a) a batch.

    x = w x_i + (1 - w) x_j, t = w y_i + (1 - w) y_j, j a permutation of the batch. Expert e has the
    prior pi^lambda_e; where the lambdas average 0, as they do here, the mean of the experts has the
    uniform prior.
    """

    name: ClassVar = "balpoe"
    title: ClassVar = "BalPoE"
    family = "experts"
    hyper_type: ClassVar = BalpoeHyper
    reference: ClassVar = Reference(
        authors="Sanchez Aimar, Jonnarth, Felsberg, Kuhlmann",
        title="Balanced product of calibrated experts for long-tailed recognition",
        venue="CVPR",
        year=2023,
        url="https://arxiv.org/abs/2206.05260",
        settings={
            "experts": 3,
            "head": 1.0,
            "tail": -1.0,
            "alpha": 0.4,
            "scale": 30.0,
            "reduced": False,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": True,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.1,
            "recipe.crop_padding": 4,
            "recipe.flip": True,
            "recipe.rotation": 15.0,
        },
        settings_source="configs/mixup/standard_training/config_cifar100_ir100_bs-experts.json of "
        "emasa/BalPoE-CalibratedLT",
    )

    def __init__(self, counts: Tensor, hyper: BalpoeHyper) -> None:
        super().__init__(counts, hyper)
        lambdas = torch.linspace(hyper.head, hyper.tail, hyper.experts, device=counts.device)
        self._bias = (1 - lambdas)[:, None] * log_prior(counts)

    def architecture(self) -> Architecture:
        hyper = self.hyper
        return Architecture(hyper.experts, "cosine", hyper.scale, hyper.reduced)

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        if self.hyper.alpha == 0:
            return ()
        return beta(self.hyper.alpha, 1, rng), torch.randperm(batch, generator=rng)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        if not draws:
            return first
        weight, partner = draws
        return mixed_with(first, partner, weight, len(self.counts))

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
        adjusted = (logits + self._bias).flatten(0, 1)
        return F.cross_entropy(adjusted, targets.repeat_interleave(logits.shape[1], dim=0))

    def bias(self) -> Tensor:
        return self._bias
