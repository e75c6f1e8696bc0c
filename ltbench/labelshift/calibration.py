"""Calibration of posteriors on a labelled hold-out: temperature, vector and bias-corrected scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize, a third of a second, loads where it is used
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array]]
_SMALLEST_SLOPE = 1e-3


@dataclass(frozen=True)
class Calibration:
    """softmax(slope l + shift): slope 1/T, ``()`` or ``(C,)``; shift ``(C,)``; both float64.

    converged: whether the fit ended before its limit of iterations. Without a penalty there may be no
    minimum: the likelihood of a hold-out that can be told apart without error grows for ever.
    """

    slope: Tensor
    shift: Tensor
    converged: bool = True

    @property
    def inverse_temperature(self) -> float:
        """1/T where all classes share one."""
        return self.slope.item()

    def __call__(self, scores: Tensor) -> Tensor:
        """``(N, C)`` log-posteriors, each image up to a constant, to calibrated ones (normalised)."""
        raw = scores.double() if self.slope.ndim == 0 else scores.double().log_softmax(dim=1)
        return (self.slope * raw + self.shift).log_softmax(dim=1)


def fit_temperature(scores: Tensor, labels: Tensor, weights: Tensor) -> Calibration:
    """Minimises mean_i w_i NLL(softmax(a l_i), y_i), a = 1/T > 0. Shapes as for :func:`fit_bcts`.

    Source: Guo, Pleiss, Sun, Weinberger, ICML 2017, section 4.2.
    """
    logits, loss = _material(scores, labels, weights)

    def objective(x: Array) -> tuple[float, Array]:
        value, residual = loss(x[0] * logits)
        return value, np.array([(residual * logits).sum()])

    x, converged = _minimum(objective, np.ones(1), slopes=1)
    return Calibration(torch.tensor(x[0]), torch.zeros(logits.shape[1]).double(), converged)


def fit_vector(scores: Tensor, labels: Tensor, weights: Tensor, penalty: float) -> Calibration:
    """Minimises mean_i w_i NLL(softmax(a l_i + beta), y_i) + penalty (|a - 1|^2 + |beta|^2).

    A slope a_j > 0 and a bias for each class; l are normalised log-posteriors, since with slopes that
    differ a constant of an image no longer cancels. Source: Guo et al. 2017, section 4.2.
    """
    logits, loss = _material(scores.double().log_softmax(dim=1), labels, weights, normalised=True)
    classes = logits.shape[1]

    def objective(x: Array) -> tuple[float, Array]:
        a, beta = x[:classes], x[classes:]
        value, residual = loss(a * logits + beta)
        value += float(penalty * ((a - 1) @ (a - 1) + beta @ beta))
        by_slope = (residual * logits).sum(axis=0) + 2 * penalty * (a - 1)
        return value, np.concatenate([by_slope, residual.sum(axis=0) + 2 * penalty * beta])

    start = np.concatenate([np.ones(classes), np.zeros(classes)])
    x, converged = _minimum(objective, start, slopes=classes)
    shift = x[classes:] - x[classes:].mean()
    return Calibration(torch.from_numpy(x[:classes]), torch.from_numpy(shift), converged)


def fit_bcts(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor,
    penalty: float,
    *,
    only_present: bool = False,
) -> Calibration:
    """Minimises mean_i w_i NLL(softmax(a l_i + beta), y_i) + penalty |beta|^2, a = 1/T >= 0.

    scores: l ``(H, C)``; labels, weights: ``(H,)``. Convex in (a, beta), solved by L-BFGS-B from
    (1, 0). beta is fixed up to a constant by the data and reported with mean 0. ``only_present``: a
    class without an image in the hold-out is left out of the fit and keeps bias 0, the mean of the
    others, since without a penalty its bias would fall for ever. Source: Alexandari, Kundaje,
    Shrikumar, ICML 2020, section 2.2.
    """
    free = np.ones(scores.shape[1], dtype=bool)
    if only_present:
        free = np.bincount(labels.numpy(), minlength=len(free)) > 0
        labels = torch.from_numpy(np.cumsum(free) - 1)[labels]  # their places among those present
    logits, loss = _material(scores[:, torch.from_numpy(free)], labels, weights)

    def objective(x: Array) -> tuple[float, Array]:
        a, beta = x[0], x[1:]
        value, residual = loss(a * logits + beta)
        by_shift = residual.sum(axis=0) + 2 * penalty * beta
        gradient = np.concatenate([[(residual * logits).sum()], by_shift])
        return float(value + penalty * beta @ beta), gradient

    start = np.concatenate([[1.0], np.zeros(logits.shape[1])])
    x, converged = _minimum(objective, start, slopes=1)
    shift = np.zeros(len(free))
    shift[free] = x[1:] - x[1:].mean()
    return Calibration(torch.tensor(x[0]), torch.from_numpy(shift), converged)


def _material(
    scores: Tensor, labels: Tensor, weights: Tensor, *, normalised: bool = False
) -> tuple[Array, Callable[[Array], tuple[float, Array]]]:
    """Logits ``(H, C)``, and the weighted NLL with its gradient by the logits ``(H, C)``, which takes
    the place of what it is called with."""
    raw: Array = scores.double().numpy()
    y = labels.numpy()
    logits = raw if normalised else raw - raw.max(axis=1, keepdims=True)
    w: Array = weights.double().numpy() / len(y)
    rows = np.arange(len(y))

    def loss(z: Array) -> tuple[float, Array]:
        z -= z.max(axis=1, keepdims=True)  # within z, which is as large as all scores
        z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
        value = -(w @ z[rows, y])
        residual = np.exp(z, out=z)
        residual[rows, y] -= 1
        residual *= w[:, None]
        return float(value), residual

    return logits, loss


def _minimum(objective: Objective, start: Array, *, slopes: int) -> tuple[Array, bool]:
    bounds = [(_SMALLEST_SLOPE, None)] * slopes + [(None, None)] * (len(start) - slopes)
    options = {"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-8}
    found = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    return found.x, found.status != 1
