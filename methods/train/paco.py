"""PaCo and GPaCo: class logits and contrasts of images in one softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.contrast import Projector, follow, momentum_copy
from ltbench.hyper import Hyper
from ltbench.method import Images, Method, Network, Phase, Reference, Seen, log_prior
from ltbench.settings import setting

_BATCH = 128
"""The published batch; the reference bias is that for it."""


@dataclass(frozen=True)
class PacoHyper(Hyper):
    alpha: float = setting(
        0.01, low=0, help="weight of each positive image; that of the class is 1"
    )
    temperature: float = setting(0.05, above=0, help="of the contrasts")
    queue: int = setting(1024, low=1, help="entries of the queue")
    dim: int = setting(32, low=1, help="length of a projection")
    keys: str = setting(
        "momentum", choices=("momentum", "shared"), help="encoder of the second view; shared: GPaCo"
    )
    momentum: float = setting(0.999, low=0, high=1, help="kept of the slow encoder a step")
    smoothing: float = setting(
        0.0,
        low=0,
        high=1,
        help="weight of the other classes, all together; that of the class is 1 less",
    )


class Contrast(nn.Module):
    """The projector, with keys of a slow encoder its copy, and the queue. labels: -1 where it is empty."""

    queue: Tensor
    labels: Tensor
    at: Tensor

    def __init__(self, network: Any, hyper: PacoHyper) -> None:
        super().__init__()
        width = network.feature_width
        self.project = Projector(width, width, hyper.dim, batchnorm=False)
        if hyper.keys == "momentum":
            self.slow_network = momentum_copy(network)
            self.slow_project = momentum_copy(self.project)
        self.register_buffer("queue", torch.zeros(hyper.queue, hyper.dim))
        self.register_buffer("labels", torch.full((hyper.queue,), -1))
        self.register_buffer("at", torch.zeros((), dtype=torch.int64))

    def put(self, keys: Tensor, labels: Tensor) -> None:
        """The newest in the place of the oldest."""
        keys, labels = keys[-len(self.queue) :], labels[-len(self.queue) :]
        steps = torch.arange(len(keys), device=keys.device)
        places = (self.at + steps) % len(self.queue)
        self.queue.index_copy_(0, places, keys)
        self.labels.index_copy_(0, places, labels)
        self.at.add_(len(keys)).remainder_(len(self.queue))


class Paco(Method[PacoHyper]):
    """p_i = softmax over [z_i + log pi, q_i . r_k / T], L = -mean_i sum_k w_ik log p_ik / sum_k w_ik.

    q_i: projected features of a query, length 1. Rows r: the other queries, the keys, the queue. w = 1 on
    the own class, alpha on each row of the own label. Keys: the second view through an encoder that
    follows the network (PaCo), or through the network itself, then with gradient and as queries, too
    (GPaCo, ``keys=shared``; its projections enter the queue after the update). smoothing s: class
    weights 1 - s and s / (C - 1).

    No class bias explains z exactly: M rows take a weight of about alpha M pi_c, so that the reference
    is log pi_c + log(1 + alpha M pi_c). Not as published: an empty queue takes no part (there: random
    rows with random labels), keys are not blurred and cropped from 8 % of the area on (there: 20 %), the
    last batch of an epoch is trained on, of any size, and the projector has two layers also for GPaCo
    (there: three).
    """

    name: ClassVar = "paco"
    title: ClassVar = "PaCo (parametric contrastive learning)"
    family = "contrastive"
    hyper_type: ClassVar = PacoHyper
    reference: ClassVar = Reference(
        authors="Cui, Zhong, Liu, Yu, Jia",
        title="Parametric contrastive learning",
        venue="ICCV",
        year=2021,
        url="https://arxiv.org/abs/2107.12028",
        settings={
            "alpha": 0.01,
            "temperature": 0.05,
            "queue": 1024,
            "dim": 32,
            "keys": "momentum",
            "momentum": 0.999,
            "recipe.epochs": 400,
            "recipe.batch_size": 128,
            "recipe.lr": 0.05,
            "recipe.momentum": 0.9,
            "recipe.weight_decay": 5e-4,
            "recipe.warmup_epochs": 10,
            "recipe.gamma": 0.1,
            "recipe.augment": "autoaugment+cutout",
        },
        settings_source="PaCo/LT/sh/CIFAR100_train_imb0.01.sh, losses.py and moco/builder.py of "
        "dvlab-research/Parametric-Contrastive-Learning",
    )

    def __init__(self, counts: Tensor, hyper: PacoHyper) -> None:
        super().__init__(counts, hyper)
        self._log_prior = log_prior(counts)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(views=("recipe", "simclr")),)

    def loss_stage(self, progress: float) -> int:
        return 0

    def build(self, network: Network) -> nn.Module:
        return Contrast(network, self.hyper)

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        """With a slow encoder the network sees the queries alone; the keys ``(B, dim)`` go along."""
        if self.hyper.keys == "shared":
            return first
        extra: Any = self.extra
        batch = len(first.targets)
        with torch.no_grad():
            _, features = extra.slow_network.with_features(first.pixels[batch:])
            keys = extra.slow_project(features[:, 0].float())
        return Images(first.pixels[:batch], first.targets, (keys,))

    def objective(self, seen: Seen) -> Tensor:
        extra: Any = self.extra
        own = seen.targets.repeat(len(seen.logits))  # of the queries: B, or 2 B that are keys, too
        query = extra.project(seen.features[:, :, 0].flatten(0, 1))
        beside, of_beside = (seen.notes[0], seen.targets) if seen.notes else (query[:0], own[:0])
        rows = torch.cat([query, beside, extra.queue.to(query.dtype)])
        labels = torch.cat([own, of_beside, extra.labels])
        itself = torch.eye(len(query), len(rows), dtype=torch.bool, device=query.device)
        there = (labels >= 0) & ~itself
        near = (query @ rows.T / self.hyper.temperature).masked_fill(~there, -torch.inf)
        classes = seen.logits[:, :, 0].flatten(0, 1) + self._log_prior
        log_p = torch.cat([classes, near], dim=1).log_softmax(dim=1)
        same = (own[:, None] == labels) & there
        weights = torch.cat([self._class_weights(own), self.hyper.alpha * same], dim=1)
        # Masked, since 0 times -inf is no number.
        weighed = weights * log_p.masked_fill(weights == 0, 0)
        return -(weighed.sum(dim=1) / weights.sum(dim=1)).mean()

    def _class_weights(self, own: Tensor) -> Tensor:
        smoothing, others = self.hyper.smoothing, max(len(self.counts) - 1, 1)
        hot = F.one_hot(own, len(self.counts)).to(self._log_prior.dtype)
        return (1 - smoothing) * hot + smoothing / others * (1 - hot)

    def after_step(self, network: Network, seen: Seen) -> None:
        extra: Any = self.extra
        if self.hyper.keys == "shared":
            extra.put(extra.project(seen.features[1, :, 0]), seen.targets)
            return
        follow(extra.slow_network, network, self.hyper.momentum)  # type: ignore[arg-type]
        follow(extra.slow_project, extra.project, self.hyper.momentum)
        extra.put(seen.notes[0], seen.targets)

    def reference_bias(self) -> Tensor:
        rows = 2 * _BATCH + self.hyper.queue - 1
        share = self.hyper.alpha * rows * self._log_prior.exp()
        return (self._log_prior + share.log1p())[None]
