"""RIDE distilled: three experts that also learn from a RIDE of six."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Images, Method, Parent, Reference, Seen
from ltbench.methods.train.ride import Ride, RideHyper
from ltbench.settings import setting


@dataclass(frozen=True)
class RideDistilledHyper(Hyper):
    experts: int = setting(3, low=2, help="number of experts")
    teachers: int = setting(6, low=2, help="number of experts of the teacher, a RIDE")
    distillation: float = setting(1.0, low=0, help="weight of the divergence from the teacher")
    temperature: float = setting(1.5, above=0, help="of that divergence")
    diversity_factor: float = setting(-0.2, help="RIDE's: weight of the divergence between experts")
    published: bool = setting(
        False, help="the whole loss once for every expert, E times, as in the published code"
    )


class RideDistilled(Method[RideDistilledHyper]):
    """L = RIDE(z) + w T^2 KL(softmax(t / T) || softmax(zm / T)), zm the mean of the experts.

    t: the mean of the teacher's experts on the same pixels, a RIDE of six that is trained first.
    RIDE(z) as in ``ride``, with its margins, weights and temperatures. The published code adds the sum of
    both once for every expert, so that its rate is E times as large: ``published``. Reference bias as RIDE's.
    """

    name: ClassVar = "ride-distilled"
    title: ClassVar = "RIDE, distilled"
    family = "experts"
    hyper_type: ClassVar = RideDistilledHyper
    reference: ClassVar = Reference(
        authors="Wang, Lian, Miao, Liu, Yu",
        title="Long-tailed recognition by routing diverse distribution-aware experts",
        venue="ICLR",
        year=2021,
        url="https://arxiv.org/abs/2010.01809",
        settings={
            "experts": 3,
            "teachers": 6,
            "distillation": 1.0,
            "temperature": 1.5,
            "diversity_factor": -0.2,
            "recipe.epochs": 200,
            "recipe.batch_size": 128,
            "recipe.lr": 0.1,
            "recipe.momentum": 0.9,
            "recipe.nesterov": True,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 20,
            "recipe.gamma": 0.01,
        },
        settings_source="configs/config_imbalance_cifar100_distill_ride.json and model/loss.py of "
        "frank-xwang/RIDE-LongTailRecognition (there published = true)",
    )

    def __init__(self, counts: Tensor, hyper: RideDistilledHyper) -> None:
        super().__init__(counts, hyper)
        own = RideHyper(experts=hyper.experts, diversity_factor=hyper.diversity_factor)
        self._ride = Ride(counts, own)

    def parent(self) -> Parent:
        return Parent("ride", {"experts": self.hyper.teachers}, role="teacher")

    def architecture(self) -> Architecture:
        return self._ride.architecture()

    def loss_stage(self, progress: float) -> bool:
        return self._ride.loss_stage(progress)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        """The same images, with what the teacher says of them."""
        assert self.teacher is not None
        with torch.no_grad():
            said: Tensor = self.teacher(first.pixels)
        return replace(first, notes=(said.mean(dim=1),))

    def objective(self, seen: Seen) -> Tensor:
        z, temperature = seen.logits[0], self.hyper.temperature
        own = self._ride.loss(z, seen.targets, progress=seen.progress)
        goal = (seen.notes[0] / temperature).log_softmax(dim=1)
        mine = (z.mean(dim=1) / temperature).log_softmax(dim=1)
        apart = F.kl_div(mine, goal, reduction="batchmean", log_target=True)
        total = own + self.hyper.distillation * temperature**2 * apart
        return total * (self.hyper.experts if self.hyper.published else 1)

    def reference_bias(self) -> Tensor:
        return self._ride.reference_bias()
