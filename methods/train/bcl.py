"""BCL: balanced softmax, and contrasts in which each class counts alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.contrast import Projector
from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Phase, Reference, Seen, log_prior
from ltbench.settings import setting


@dataclass(frozen=True)
class BclHyper(Hyper):
    alpha: float = setting(2.0, above=0, help="weight of balanced softmax")
    beta: float = setting(0.6, low=0, help="weight of the contrasts; 0: balanced softmax")
    temperature: float = setting(0.1, above=0, help="of the contrasts")
    hidden: int = setting(512, low=1, help="width within a projector")
    dim: int = setting(128, low=1, help="length of a projection")


class Projectors(nn.Module):
    """One of images, one of the weights of the head, whose rows stand for the classes."""

    def __init__(self, network: Network, hyper: BclHyper) -> None:
        super().__init__()
        width = network.feature_width
        self.of_images = Projector(width, hyper.hidden, hyper.dim, batchnorm=True)
        self.of_classes = Projector(width, hyper.hidden, hyper.dim, batchnorm=True)
        self._head = tuple(network.heads())  # a tuple: its weights are the network's, not of this

    def centers(self) -> Tensor:
        """``(C, dim)``, of length 1."""
        weights: Any = self._head[0].weight
        centers: Tensor = self.of_classes(weights)
        return centers


class Bcl(Method[BclHyper]):
    """L = -alpha log softmax(z + log pi)_y (first view) - beta mean_i mean over P_i of log p_ip,
    p_ij = exp(v_i . v_j / T) / sum over classes c of the mean over k in c, k not i, of exp(v_i . v_k / T).

    v: projections of the second and the third view, length 1, with a center for each class, projected
    from the head's weights, so that every class is in every batch; P_i: what has the class of i.
    Contrasts do not touch the head's prior: bias log pi.
    """

    name: ClassVar = "bcl"
    title: ClassVar = "BCL (balanced contrastive learning)"
    family = "contrastive"
    hyper_type: ClassVar = BclHyper
    reference: ClassVar = Reference(
        authors="Zhu, Wang, Chen, Chen, Jiang",
        title="Balanced contrastive learning for long-tailed visual recognition",
        venue="CVPR",
        year=2022,
        url="https://arxiv.org/abs/2207.09052",
        settings={
            "alpha": 2.0,
            "beta": 0.6,
            "temperature": 0.1,
            "hidden": 512,
            "dim": 128,
            "recipe.augment": "autoaugment+cutout",
        },
        settings_source="cifar/losses/bcl.py and cifar/models/resnet_bcl.py of sumyeongahn/CUDA_LTR; "
        "loss/contrastive.py of FlamieZhu/Balanced-Contrastive-Learning",
    )

    def __init__(self, counts: Tensor, hyper: BclHyper) -> None:
        super().__init__(counts, hyper)
        self._log_prior = log_prior(counts)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(views=("recipe", "simclr", "simclr")),)

    def loss_stage(self, progress: float) -> int:
        return 0

    def build(self, network: Network) -> nn.Module:
        return Projectors(network, self.hyper)

    def objective(self, seen: Seen) -> Tensor:
        extra: Any = self.extra
        own = F.cross_entropy(seen.logits[0, :, 0] + self._log_prior, seen.targets)
        # All views pass at once: BatchNorm of the projector sees three rows an image, as published.
        projected = extra.of_images(seen.features[:, :, 0].flatten(0, 1))
        contrast = self._contrast(projected[len(seen.targets) :], extra.centers(), seen.targets)
        return self.hyper.alpha * own + self.hyper.beta * contrast

    def _contrast(self, images: Tensor, centers: Tensor, targets: Tensor) -> Tensor:
        """images ``(2 B, dim)``, centers ``(C, dim)``, targets ``(B,)`` of both views."""
        own = targets.repeat(2)
        rows = torch.cat([images, centers])
        labels = torch.cat([own, torch.arange(len(centers), device=own.device)])
        itself = torch.eye(len(images), len(rows), dtype=torch.bool, device=own.device)
        same = (own[:, None] == labels) & ~itself
        members = F.one_hot(labels, len(centers)).sum(dim=0)[labels]  # of each row's class
        near = images @ rows.T / self.hyper.temperature
        # The mean over a class in logarithms; of the own class one member, the image itself, is out.
        averaged = (near - (members - same.long()).log()).masked_fill(itself, -torch.inf)
        log_p = near - averaged.logsumexp(dim=1, keepdim=True)
        return -((same * log_p).sum(dim=1) / same.sum(dim=1)).mean()

    def bias(self) -> Tensor:
        return self._log_prior[None]
