"""Zero-shot: the class whose name is nearest, among stored features of the class names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.errors import InputError
from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Phase, Reference, TrainingFeatures
from ltbench.settings import setting


@dataclass(frozen=True)
class ZeroShotHyper(Hyper):
    scale: float = setting(100.0, above=0, help="of the cosines; no prediction depends on it")


class NameHead(nn.Module):
    """Logits s cos(f, t_c), t_c the feature of the name of class c. forward: ``(B, D)`` to ``(B, C)``."""

    text: Tensor

    def __init__(self, classes: int, width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("text", torch.zeros(classes, width))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.normalize(features, dim=1) @ F.normalize(self.text, dim=1).T


class ZeroShot(Method[ZeroShotHyper]):
    """z_c = s cos(f, t_c), f the frozen feature of an image, t_c that of the name of class c.

    Trains nothing and looks at no training image, so that all its seeds are alike. Needs a folder of
    features with ``heads.safetensors``. The prior that such logits carry is the encoder's own, which nobody
    knows. Published with s learned beside the encoder, at most 100.
    """

    name: ClassVar = "zero-shot"
    title: ClassVar = "Zero-shot (names of the classes)"
    family = "two-stage"
    needs_text: ClassVar = True
    hyper_type: ClassVar = ZeroShotHyper
    reference: ClassVar = Reference(
        authors="Radford, Kim, Hallacy, Ramesh, Goh, Agarwal, Sastry, Askell, Mishkin, Clark, Krueger, "
        "Sutskever",
        title="Learning transferable visual models from natural language supervision",
        venue="ICML",
        year=2021,
        url="https://arxiv.org/abs/2103.00020",
    )

    def phases(self) -> tuple[Phase, ...]:
        return ()

    def build(self, network: Network) -> None:
        head = NameHead(len(self.counts), network.feature_width, self.hyper.scale)
        network.set_head(0, head)

    def finish(self, network: Network, training: TrainingFeatures) -> None:
        (head,) = network.heads()
        assert isinstance(head, NameHead)
        if training.text is None:
            raise InputError("zero-shot needs features of the class names, and there are none")
        head.text.copy_(training.text)
