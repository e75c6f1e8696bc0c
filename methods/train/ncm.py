"""NCM: the nearest class mean among the features of a trained network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Parent, Phase, Reference, TrainingFeatures
from ltbench.settings import setting


@dataclass(frozen=True)
class NcmHyper(Hyper):
    features: str = setting(
        "centred",
        choices=("centred", "normalised", "plain"),
        help="of length one once the training mean is taken off; of length one; as they are",
    )
    distance: str = setting("euclidean", choices=("euclidean", "cosine"), help="to the class means")


class ClassMeans(nn.Module):
    """Logits -|x - m_c|^2, or cos(x, m_c). forward: ``(B, D)`` to ``(B, C)``."""

    def __init__(self, classes: int, width: int, *, normalise: bool, cosine: bool) -> None:
        super().__init__()
        self.normalise, self.cosine = normalise, cosine
        self.centre: Tensor
        self.means: Tensor
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("means", torch.zeros(classes, width))

    def prepared(self, features: Tensor) -> Tensor:
        """x ``(B, D)`` of the features that the network gives."""
        moved = features - self.centre
        return F.normalize(moved, dim=1) if self.normalise else moved

    def forward(self, features: Tensor) -> Tensor:
        x = self.prepared(features)
        if self.cosine:
            return F.normalize(x, dim=1) @ F.normalize(self.means, dim=1).T
        squares = x.square().sum(dim=1, keepdim=True) + self.means.square().sum(dim=1)
        return 2 * x @ self.means.T - squares


class Ncm(Method[NcmHyper]):
    """z_c = -|x - m_c|^2, x the prepared feature of ce, m_c its mean over the training images of c.

    Trains nothing. The published code's cosine leaves the means as long as they are and divides by D,
    which favours long ones; here it is a cosine. The prior that such logits carry has no closed form.
    """

    name: ClassVar = "ncm"
    title: ClassVar = "NCM (nearest class mean)"
    family = "two-stage"
    hyper_type: ClassVar = NcmHyper
    reference: ClassVar = Reference(
        authors="Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis",
        title="Decoupling representation and classifier for long-tailed recognition",
        venue="ICLR",
        year=2020,
        url="https://arxiv.org/abs/1910.09217",
        settings={"features": "centred"},
        settings_source="models/KNNClassifier.py of facebookresearch/classifier-balancing (cl2n)",
    )

    def parent(self) -> Parent:
        return Parent("ce")

    def phases(self) -> tuple[Phase, ...]:
        return ()

    def build(self, network: Network) -> None:
        head = ClassMeans(
            len(self.counts),
            network.feature_width,
            normalise=self.hyper.features != "plain",
            cosine=self.hyper.distance == "cosine",
        )
        network.set_head(0, head)

    def finish(self, network: Network, training: TrainingFeatures) -> None:
        (head,) = network.heads()
        assert isinstance(head, ClassMeans)
        features = training.features[:, 0]
        if self.hyper.features == "centred":
            head.centre.copy_(features.mean(dim=0))
        # A product, not index_add: on an accelerator its sums keep their order.
        members = F.one_hot(training.targets, len(self.counts)).to(features)
        sums = members.T @ head.prepared(features)
        head.means.copy_(sums / members.sum(dim=0).clamp_min(1)[:, None])
