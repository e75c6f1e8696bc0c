"""tau-normalisation: the class weights of a trained network, divided by a power of their norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Parent, Phase, Reference, TrainingFeatures
from ltbench.models.heads import CosineHead
from ltbench.settings import setting


@dataclass(frozen=True)
class TauNormHyper(Hyper):
    tau: float = setting(0.7, low=0, help="power of the norm; 0: as trained, without the biases")


class TauNorm(Method[TauNormHyper]):
    """w_j / |w_j|^tau on the features of ce, the heads' biases dropped. Trains nothing.

    tau is a setting, never chosen on test images: the published code prints results for a grid of it.
    The prior that such logits carry has no closed form.
    """

    name: ClassVar = "tau-norm"
    title: ClassVar = "tau-normalised classifier"
    family = "two-stage"
    hyper_type: ClassVar = TauNormHyper
    reference: ClassVar = Reference(
        authors="Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis",
        title="Decoupling representation and classifier for long-tailed recognition",
        venue="ICLR",
        year=2020,
        url="https://arxiv.org/abs/1910.09217",
    )

    def parent(self) -> Parent:
        return Parent("ce")

    def phases(self) -> tuple[Phase, ...]:
        return ()

    def finish(self, network: Network, training: TrainingFeatures) -> None:
        for head in network.heads():
            weight: Any = head.weight
            # A cosine head, as a protocol of frozen features may want for all, keeps them as columns.
            along = 0 if isinstance(head, CosineHead) else 1
            weight.div_(weight.norm(dim=along, keepdim=True) ** self.hyper.tau)
            bias = getattr(head, "bias", None)
            if isinstance(bias, Tensor):
                bias.zero_()
