"""Bias-corrected temperature scaling (BCTS): one temperature and one bias per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize, a third of a second, loads where it is used
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """softmax(inverse_temperature l + shift): shift ``(C,)`` float64 of mean 0; whether the fit ended
    before its limit of iterations."""

    inverse_temperature: float
    shift: Tensor
    converged: bool = True

    def __call__(self, scores: Tensor) -> Tensor:
        """``(N, C)`` log-posteriors, each image up to a constant, to calibrated ones (normalised)."""
        return (self.inverse_temperature * scores.double() + self.shift).log_softmax(dim=1)


def fit_bcts(scores: Tensor, labels: Tensor, weights: Tensor, penalty: float) -> Calibration:
    """Minimises mean_i w_i NLL(softmax(a l_i + beta), y_i) + penalty |beta|^2, a = 1/T >= 0.

    scores: l ``(H, C)``; labels, weights: ``(H,)``. Convex in (a, beta), solved by L-BFGS-B from
    (1, 0). beta is fixed up to a constant by the data and reported with mean 0. Source: Alexandari,
    Kundaje, Shrikumar, ICML 2020, section 2.2.
    """
    raw: Array = scores.double().numpy()
    y = labels.numpy()
    logits = raw - raw.max(axis=1, keepdims=True)
    w: Array = weights.double().numpy() / len(y)
    rows = np.arange(len(y))

    def objective(x: Array) -> tuple[float, Array]:
        a, beta = x[0], x[1:]
        z = a * logits + beta
        z -= z.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        value = -(w @ log_p[rows, y]) + penalty * beta @ beta
        residual = np.exp(log_p)
        residual[rows, y] -= 1
        residual *= w[:, None]
        by_shift = residual.sum(axis=0) + 2 * penalty * beta
        return float(value), np.concatenate([[(residual * logits).sum()], by_shift])

    start = np.concatenate([[1.0], np.zeros(logits.shape[1])])
    bounds = [(1e-3, None), *[(None, None)] * logits.shape[1]]
    options = {"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-8}
    found = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    shift = torch.from_numpy(found.x[1:] - found.x[1:].mean())
    return Calibration(float(found.x[0]), shift, converged=found.status != 1)
