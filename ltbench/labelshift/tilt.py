"""Maximum likelihood in a family of priors with few parameters: the tilted uniform distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.labelshift.blocks import row_blocks
from ltbench.labelshift.newton import Local, maximise
from ltbench.method import log_prior

_STARTS = (0.0, 1.5, -1.5)
"""First exponents to start from: at degree 2 and more the likelihood may have several maxima."""


def head_score(counts: Tensor) -> Tensor:
    """h ``(C,)`` float64: the log training prior, standardised over classes (mean 0, sd 1).

    All zero where all counts are equal: then there is no head and no tail.
    """
    log_pi = log_prior(counts).double()
    centred = log_pi - log_pi.mean()
    spread = centred.square().mean().sqrt()
    return torch.zeros_like(centred) if spread < 1e-6 else centred / spread


def powers(h: Tensor, degree: int) -> Tensor:
    """h, h^2, ... h^degree as ``(degree, C)``."""
    return torch.stack([h**k for k in range(1, degree + 1)])


def tilted(exponents: Tensor, features: Tensor) -> Tensor:
    """q_a(y) proportional to exp(sum_k a_k f_k(y)): ``(K,)`` and ``(K, C)`` to ``(C,)``."""
    return (exponents @ features).softmax(dim=0)


@dataclass(frozen=True)
class TiltResult:
    """exponents ``(K,)`` float64, of the standardised log training prior; prior ``(C,)``."""

    exponents: Tensor
    prior: Tensor


def fit_tilt(
    u: Tensor, features: Tensor, spread: float, weights: Tensor | None = None
) -> TiltResult:
    """Maximises sum_i w_i log sum_j u_ij q_a(j) - |a|^2 / (2 spread^2) over a.

    u: ``(N, C)`` likelihoods, each image up to a factor; features: ``(K, C)``; weights: ``(N,)``, 1
    each where None. The normal prior of the exponents keeps a finite where the images lie in one
    class; with hundreds of images it does not matter.
    """
    w = torch.ones(len(u)) if weights is None else weights
    return fit_tilts(u, features, spread, w[None])[0]


def fit_tilts(u: Tensor, features: Tensor, spread: float, weights: Tensor) -> list[TiltResult]:
    """``fit_tilt`` for each row of weights ``(M, N)``, all at once: u is read once for all."""
    starts = torch.zeros(len(_STARTS), len(features), dtype=torch.float64)
    starts[:, 0] = torch.tensor(_STARTS, dtype=torch.float64)
    likelihood = _Likelihood(u, features, spread, weights.double())
    points, values = maximise(likelihood, starts.repeat(len(weights), 1))
    best = values.reshape(len(weights), -1).argmax(dim=1)
    found = points.reshape(len(weights), len(starts), -1)[torch.arange(len(weights)), best]
    return [TiltResult(exponents, tilted(exponents, features)) for exponents in found]


class _Likelihood:
    """The objective of ``fit_tilt`` per image, from several starts for each row of weights.

    With r_ij = u_ij q_j / sum_l u_il q_l, the gradient is sum_i w_i (E_ri f - E_q f) and the Hessian
    sum_i w_i (Cov_ri f - Cov_q f), less the normal prior's part. All follow from the sums over classes
    of u_ij q_j times 1, f_k and f_k f_l: one matrix product.
    """

    def __init__(self, u: Tensor, features: Tensor, spread: float, weights: Tensor) -> None:
        self.blocks = [(u[rows], weights[:, rows]) for rows in row_blocks(u)]
        self.size, self.precision = weights.sum(dim=1), spread**-2
        self.features, self.degree = features, len(features)
        self.one, self.other = torch.triu_indices(self.degree, self.degree)
        pairs = features[self.one] * features[self.other]
        self.products = torch.cat([torch.ones_like(features[:1]), features, pairs])

    def __call__(self, points: Tensor, numbers: Tensor) -> Local:
        chosen = numbers // len(_STARTS)
        q = (points @ self.features).softmax(dim=1)
        weighted = (self.products[:, None] * q).flatten(0, 1)
        value = torch.zeros(len(q), dtype=torch.float64)
        sums = torch.zeros(len(self.products) - 1, len(q), dtype=torch.float64)
        for u, w in self.blocks:
            parts = (weighted @ u.T).reshape(-1, len(q), len(u))
            evidence = parts[0].clamp_min(torch.finfo(torch.float64).tiny)
            value += (w[chosen] * evidence.log()).sum(dim=1)
            sums += (w[chosen] * self._moments(parts[1:] / evidence)).sum(dim=2)
        size = self.size[chosen]
        sums = sums / size - self._moments(self.products[1:] @ q.T)
        shrink = self.precision / size
        hessian = torch.zeros(len(q), self.degree, self.degree, dtype=torch.float64)
        hessian[:, self.one, self.other] = sums[self.degree :].T
        hessian[:, self.other, self.one] = sums[self.degree :].T
        return Local(
            value / size - shrink * points.square().sum(dim=1) / 2,
            sums[: self.degree].T - shrink[:, None] * points,
            hessian - shrink[:, None, None] * torch.eye(self.degree, dtype=torch.float64),
        )

    def _moments(self, raw: Tensor) -> Tensor:
        """Means of f_k and f_k f_l, ``(K + pairs, ...)``, to means of f_k and covariances."""
        means, products = raw[: self.degree], raw[self.degree :]
        return torch.cat([means, products - means[self.one] * means[self.other]])
