"""MDCS: experts of different priors, each teaching its strong view by its weak one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Phase, Reference, Seen
from ltbench.settings import setting


@dataclass(frozen=True)
class MdcsHyper(Hyper):
    head: float = setting(-0.5, help="k of the first expert: bias k log n")
    middle: float = setting(1.0, help="k of the second expert")
    tail: float = setting(2.5, help="k of the third expert")
    distillation: float = setting(0.6, low=0, help="weight of the divergence once it has risen")
    rise: float = setting(0.05, above=0, high=1, help="progress at which it has risen")
    scale: float = setting(30.0, above=0, help="scale of the cosine logits")
    reduced: bool = setting(True, help="second and third stage of each expert at 3/4 width")


class Mdcs(Method[MdcsHyper]):
    """L = sum_e CE(u_e, y) over weak and strong views, u_e = z_e + k_e log n,
    + w(t) sum_e mean over R_e of KL(softmax u_e(weak), no gradient || softmax u_e(strong)).

    R_e: images whose weak view expert e gets right by u_e; w rises linearly over the first
    twentieth. Both terms have the posterior of the training prior as their optimum: bias k_e log n.
    """

    name: ClassVar = "mdcs"
    title: ClassVar = "MDCS"
    family = "experts"
    hyper_type: ClassVar = MdcsHyper
    reference: ClassVar = Reference(
        authors="Zhao, Jiang, Hu, Zhang, Liu",
        title="MDCS: More diverse experts with consistency self-distillation for long-tailed recognition",
        venue="ICCV",
        year=2023,
        url="https://arxiv.org/abs/2308.09922",
        settings={
            "head": -0.5,
            "middle": 1.0,
            "tail": 2.5,
            "distillation": 0.6,
            "rise": 0.05,
            "scale": 30.0,
            "reduced": True,
            "recipe.epochs": 400,
            "recipe.batch_size": 64,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 20,
        },
        settings_source="model/loss.py and config_cifar100_ir100_mdcs.json of fistyee/MDCS",
    )

    def __init__(self, counts: Tensor, hyper: MdcsHyper) -> None:
        super().__init__(counts, hyper)
        powers = (hyper.head, hyper.middle, hyper.tail)
        self._bias = torch.stack([k * counts.float().log() for k in powers])

    def architecture(self) -> Architecture:
        return Architecture(3, "cosine", self.hyper.scale, self.hyper.reduced)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(views=("recipe", "strong")),)

    def loss_stage(self, progress: float) -> float:
        return min(progress / self.hyper.rise, 1.0)  # how far the divergence has risen

    def objective(self, seen: Seen) -> Tensor:
        inside = seen.logits + self._bias  # (2, B, 3, C)
        views, images, experts, classes = inside.shape
        every = seen.targets[None, :, None].expand(views, images, experts)
        own = F.cross_entropy(inside.reshape(-1, classes), every.reshape(-1)) * experts
        weak, strong = inside[0].detach(), inside[1]
        right = (weak.argmax(dim=2) == seen.targets[:, None]).float()  # (B, 3)
        apart = F.kl_div(
            strong.log_softmax(dim=2), weak.log_softmax(dim=2), reduction="none", log_target=True
        ).sum(dim=2)
        # Masked, not selected: no shape depends on data, so that the step can be recorded.
        taught = ((right * apart).sum(dim=0) / right.sum(dim=0).clamp_min(1)).sum()
        return own + self.hyper.distillation * self.loss_stage(seen.progress) * taught

    def bias(self) -> Tensor:
        return self._bias
