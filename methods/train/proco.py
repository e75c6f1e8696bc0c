"""ProCo: balanced softmax, and contrasts with whole distributions of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.contrast import Projector
from ltbench.hyper import Hyper
from ltbench.method import Method, Network, Phase, Reference, Seen, log_prior
from ltbench.settings import setting

_SHARPEST = 1e5
"""The largest concentration, that of a class of one image."""


@dataclass(frozen=True)
class ProcoHyper(Hyper):
    alpha: float = setting(1.0, low=0, help="weight of the contrasts; 0: balanced softmax")
    temperature: float = setting(0.1, above=0, help="of the contrasts")
    hidden: int = setting(512, low=1, help="width within the projector")
    dim: int = setting(128, low=8, help="length of a projection")


class Moments(NamedTuple):
    """means ``(C, dim)`` of projections of length 1, and from how many each comes, ``(C,)`` float32."""

    means: Tensor
    numbers: Tensor

    def with_images(self, projected: Tensor, targets: Tensor) -> Moments:
        """Those and ``projected`` ``(B, dim)``; where there were none the new ones alone."""
        hot = F.one_hot(targets, len(self.means)).to(projected.dtype)
        numbers = self.numbers + hot.sum(dim=0)
        share = hot.sum(dim=0) / numbers.clamp_min(1)
        new = hot.T @ projected / hot.sum(dim=0).clamp_min(1)[:, None]
        return Moments(self.means + share[:, None] * (new - self.means), numbers)

    def concentrations(self) -> Tensor:
        """kappa ``(C,)`` of the von Mises-Fisher distribution with these means; float64."""
        lengths = self.means.double().norm(dim=1)
        kappa = self.means.shape[1] * lengths / (1 - lengths.square())
        return torch.where((kappa < 0) | (kappa > _SHARPEST), _SHARPEST, kappa)


class Distributions(nn.Module):
    """The projector, and moments of each class: those that are contrasted with, which began with the
    last epoch, and those of this epoch alone, which take their place at its end.

    epoch: the progress of the epoch that the second ones are of.
    """

    def __init__(self, network: Network, classes: int, hyper: ProcoHyper) -> None:
        super().__init__()
        self.project = Projector(network.feature_width, hyper.hidden, hyper.dim, batchnorm=True)
        begin = 0.9 * F.normalize(torch.randn(classes, hyper.dim), dim=1)
        for part in ("means", "new_means"):
            self.register_buffer(part, begin.clone())
        for part in ("numbers", "new_numbers"):
            self.register_buffer(part, torch.zeros(classes))
        self.register_buffer("epoch", torch.full((1,), -1.0))

    def moments(self, epoch: Tensor) -> tuple[Moments, Moments]:
        """Both as they are at ``epoch``, a tensor of its progress: no step waits to know if it is new."""
        this: Any = self
        fresh = epoch != this.epoch
        new = Moments(this.new_means, this.new_numbers)
        old = Moments(
            torch.where(fresh, new.means, this.means), torch.where(fresh, new.numbers, this.numbers)
        )
        return old, Moments(new.means, torch.where(fresh, 0, new.numbers))

    def keep(self, old: Moments, new: Moments, epoch: Tensor) -> None:
        this: Any = self
        this.means.copy_(old.means)
        this.numbers.copy_(old.numbers)
        this.new_means.copy_(new.means)
        this.new_numbers.copy_(new.numbers)
        this.epoch.copy_(epoch)


class Proco(Method[ProcoHyper]):
    """L = CE(z + log pi, y) (first view) + alpha mean over two more views of CE(u + log pi, y),
    u_c = log C(kappa_c) - log C(|kappa_c mu_c + v / T|), C(k) ~ k^(d/2-1) / I_(d/2-1)(k).

    u_c is log E exp(v . w / T) over w of class c, drawn from a von Mises-Fisher distribution with the
    mean direction mu and the concentration kappa = d R / (1 - R^2) of a running mean of length R: all
    images of a class since the last epoch began. v: projections of length 1. Contrasts do not touch the
    head's prior: bias log pi. I is taken from its expansion for large orders, four terms of it.

    Not as published: after a step the means take the batch through the projector as it is then; a class
    that an epoch has not seen keeps its mean (there: a random one).
    """

    name: ClassVar = "proco"
    title: ClassVar = "ProCo (probabilistic contrastive learning)"
    family = "contrastive"
    hyper_type: ClassVar = ProcoHyper
    reference: ClassVar = Reference(
        authors="Du, Wang, Song, Huang",
        title="Probabilistic contrastive learning for long-tailed visual recognition",
        venue="TPAMI",
        year=2024,
        url="https://arxiv.org/abs/2403.06726",
        settings={
            "alpha": 1.0,
            "temperature": 0.1,
            "hidden": 512,
            "dim": 128,
            "recipe.epochs": 200,
            "recipe.batch_size": 256,
            "recipe.lr": 0.3,
            "recipe.momentum": 0.9,
            "recipe.nesterov": False,
            "recipe.weight_decay": 2e-4,
            "recipe.warmup_epochs": 5,
            "recipe.gamma": 0.1,
            "recipe.augment": "autoaugment+cutout",
        },
        settings_source="ProCo_cifar/main.py, loss/proco.py and sh/ProCo_CIFAR.sh of LeapLabTHU/ProCo",
    )

    def __init__(self, counts: Tensor, hyper: ProcoHyper) -> None:
        super().__init__(counts, hyper)
        self._log_prior = log_prior(counts)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(views=("recipe", "simclr", "simclr")),)

    def loss_stage(self, progress: float) -> int:
        return 0

    def build(self, network: Network) -> nn.Module:
        return Distributions(network, len(self.counts), self.hyper)

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Nothing random: the progress, as a tensor, so that a recorded step meets a new epoch."""
        return (torch.full((1,), progress),)

    def objective(self, seen: Seen) -> Tensor:
        extra: Any = self.extra
        own = F.cross_entropy(seen.logits[0, :, 0] + self._log_prior, seen.targets)
        old, _ = extra.moments(seen.draws[0])
        contrasts = []
        for projected in self._projected(seen):
            old = old.with_images(projected.detach(), seen.targets)
            inside = contrast_logits(projected, old, self.hyper.temperature)
            adjusted = inside.to(projected.dtype) + self._log_prior
            contrasts.append(F.cross_entropy(adjusted, seen.targets))
        return own + self.hyper.alpha * torch.stack(contrasts).mean()

    def _projected(self, seen: Seen) -> tuple[Tensor, ...]:
        """Of the second and the third view; BatchNorm of the projector sees the first, too, as published."""
        extra: Any = self.extra
        every = extra.project(seen.features[:, :, 0].flatten(0, 1))
        return tuple(every.unflatten(0, (-1, len(seen.targets)))[1:])

    def after_step(self, network: Network, seen: Seen) -> None:
        extra: Any = self.extra
        old, new = extra.moments(seen.draws[0])
        for projected in self._projected(seen):
            old = old.with_images(projected, seen.targets)
            new = new.with_images(projected, seen.targets)
        extra.keep(old, new, seen.draws[0])

    def bias(self) -> Tensor:
        return self._log_prior[None]


def contrast_logits(projected: Tensor, moments: Moments, temperature: float) -> Tensor:
    """``(B, C)`` float64: log C(kappa_c) - log C(|kappa_c mu_c + v / T|)."""
    kappa = moments.concentrations()
    order = moments.means.shape[1] / 2 - 1
    cosines = projected.double() @ F.normalize(moments.means.double(), dim=1).T
    # |kappa mu + v / T|^2 without a vector for each pair: v has length 1.
    square = kappa.square() + 2 * kappa * cosines / temperature + temperature**-2
    return _log_bessel(square, order) - _log_bessel(kappa.square(), order)


def _log_bessel(square: Tensor, order: float) -> Tensor:
    """log I_nu(k) - nu log k of ``square`` k^2, float64, up to a constant of nu, the order.

    With s = sqrt(nu^2 + k^2) and t = nu / s it is s - nu log(nu + s) - log(s) / 2 + log sum_j u_j(t) / nu^j
    (DLMF 10.41.3 and 10.41.10), smooth in k^2 also at 0.
    """
    s = (square + order**2).clamp_min(0).sqrt()
    t = order / s
    total = torch.ones_like(t)
    for j, (terms, divisor) in enumerate(_DEBYE, start=1):
        power = t**j * sum(c * t ** (2 * i) for i, c in enumerate(terms))
        total = total + power / (divisor * order**j)
    return s - order * (order + s).log() - s.log() / 2 + total.log()


_DEBYE: tuple[tuple[tuple[float, ...], float], ...] = (
    ((3, -5), 24),
    ((81, -462, 385), 1152),
    ((30375, -369603, 765765, -425425), 414720),
    ((4465125, -94121676, 349922430, -446185740, 185910725), 39813120),
)
"""u_j(t) = t^j (c_0 + c_1 t^2 + ...) / divisor, j from 1 (DLMF 10.41.10)."""
