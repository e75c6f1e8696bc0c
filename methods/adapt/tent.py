"""Tent: BatchNorm scales and shifts that minimise the entropy of predictions."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.hyper import Hyper
from ltbench.method import Method, Reference
from ltbench.models.adaptation import adapt_in_two_orders, use_batch_statistics
from ltbench.settings import setting
from ltbench.strategy import Adapted, Session, Source, Strategy, UnlabelledTest


@dataclass(frozen=True)
class TentHyper(Hyper):
    lr: float = setting(1e-3, above=0, help="learning rate of Adam")
    beta: float = setting(0.9, low=0, high=0.999, help="first-moment decay of Adam")
    batch_size: int = setting(200, low=1, help="images a step at most")


class TentSession(Session):
    """One Adam step a batch, which is predicted from the forward pass before that step."""

    predicts: ClassVar = "after"  # before the step, but with the statistics of the whole batch

    def __init__(self, network: nn.Module, method: Method[Hyper], hyper: TentHyper) -> None:
        self.network, self.method = copy.deepcopy(network), method
        self.network.requires_grad_(False)
        affine = []
        for norm in use_batch_statistics(self.network):
            affine += [p.requires_grad_(True) for p in (norm.weight, norm.bias) if p is not None]
        betas = (hyper.beta, 0.999)
        self.optimizer = torch.optim.Adam(affine, lr=hyper.lr, betas=betas, weight_decay=0.0)

    def step(self, batch: UnlabelledTest) -> Tensor:
        with torch.enable_grad():
            scores = self.method.predict(self.network(batch.images))
            self.optimizer.zero_grad()
            entropy(scores).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return scores.detach()


class Tent(Strategy[TentHyper]):
    """min over gamma, beta of every BatchNorm: mean_i H(softmax(predict(z_i))), H = -sum p log p.

    BatchNorm uses the statistics of the batch; all other weights are fixed. One pass, online: a batch
    is predicted, then the step is taken. Of several experts the entropy is that of their combined
    prediction (the mean of the logits unless the method says otherwise). Batches come in a seeded
    random order, equal in size up to one image (as published, where 200 divides 10,000);
    ``order_disagreement`` in the diagnostics is the share of images that a second order, from the
    same network, predicts otherwise. Source: ``tent.py`` and ``cfgs/tent.yaml`` of DequanWang/tent
    (CIFAR: Adam 1e-3, beta 0.9, no weight decay, batch 200).
    """

    name: ClassVar = "tent"
    title: ClassVar = "entropy minimisation of BatchNorm"
    needs: ClassVar = frozenset({"network"})
    hyper_type: ClassVar = TentHyper
    reference: ClassVar = Reference(
        authors="Wang, Shelhamer, Liu, Olshausen, Darrell",
        title="Tent: fully test-time adaptation by entropy minimization",
        venue="ICLR",
        year=2021,
        url="https://arxiv.org/abs/2006.10726",
    )

    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        size = self.hyper.batch_size
        return adapt_in_two_orders(test, lambda: self._open(source), size, rng)

    def session(self, source: Source, rng: torch.Generator) -> Session | None:
        return None if source.network is None else self._open(source)

    def _open(self, source: Source) -> TentSession:
        assert source.network is not None  # 'network' is in needs
        return TentSession(source.network, source.method, self.hyper)


def entropy(scores: Tensor) -> Tensor:
    """Mean over ``(N, C)`` scores of -sum_c p_c log p_c, p = softmax; nats, scalar."""
    log_p = F.log_softmax(scores, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()
