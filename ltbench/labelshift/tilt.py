"""Maximum likelihood in a family of priors with few parameters: the tilted uniform distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize, a third of a second, loads where it is used
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.labelshift.exponent import likeliest_exponents
from ltbench.method import log_prior

Array = NDArray[np.float64]
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
    """``fit_tilt`` for each row of weights ``(M, N)``; of one exponent all at once, u being read once.

    Of several exponents there may be several maxima, and the way that L-BFGS takes from a start has
    a part in which is found.
    """
    if len(features) == 1:
        found = likeliest_exponents(u, features[0], spread, weights.double(), _STARTS)[:, None]
    else:
        found = torch.stack([_climbed(u, features, spread, w.double()) for w in weights])
    return [TiltResult(exponents, tilted(exponents, features)) for exponents in found]


def _climbed(u: Tensor, features: Tensor, spread: float, weights: Tensor) -> Tensor:
    """The best of the maxima that L-BFGS reaches, exponents ``(K,)``."""
    size, w = float(weights.sum()), weights.numpy()
    likelihood, f = u.numpy(), features.numpy()
    tiny = np.finfo(np.float64).tiny

    def objective(a: Array) -> tuple[float, Array]:
        scores = a @ f
        q = np.exp(scores - scores.max())
        q /= q.sum()
        evidence = np.maximum(likelihood @ q, tiny)
        value = w @ np.log(evidence) - a @ a / (2 * spread**2)
        expected = q * (likelihood.T @ (w / evidence))  # sum_i w_i r_ij
        gradient = f @ (expected - size * q) - a / spread**2
        return -value / size, -gradient / size

    starts = [np.eye(len(f))[0] * first for first in _STARTS]
    found = [
        scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B") for start in starts
    ]
    return torch.from_numpy(min(found, key=lambda one: one.fun).x)
