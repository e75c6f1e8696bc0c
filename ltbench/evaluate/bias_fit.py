"""Fits the logit bias of a method that has none in closed form, on held-out training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize, a third of a second, loads where it is used
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.errors import LtbenchError
from ltbench.labelshift.holdout import importance

BIAS_FIT_VERSION = 1
"""Raised when what the fit computes changes: part of the identity of every row that stands on it."""

SPREAD_ABOUT_REFERENCE = 0.1
"""Prior standard deviation of delta, nats, beside a reference: strong, so that kappa explains most."""
SPREAD_ALONE = 1.0
"""The same without a reference: a tail class of one held-out image stays near the others."""
UNIT_INTERVAL_VARIANCE = 1 / 12

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BiasFit:
    """``bias`` ``(E, C)`` with mean 0 over classes and its standard ``error`` ``(E, C)``, in nats;
    ``kappa`` ``(E,)`` in [0, 1] and its error, None where there was no reference to scale."""

    bias: Tensor
    error: Tensor
    kappa: Tensor | None
    kappa_error: Tensor | None


def fit_bias(logits: Tensor, labels: Tensor, counts: Tensor, reference: Tensor | None) -> BiasFit:
    """b_e = kappa_e r_e + delta_e, such that softmax(z_e + b_e) is the training posterior.

    Minimises, for each expert alone, sum_i w_i (-log softmax(z_i + b)_{y_i}) + |delta|^2 / (2 s^2)
    over kappa in [0, 1] and delta by L-BFGS-B, with the weights of :func:`importance`. r is
    ``reference`` ``(E, C)`` (for a loss weighted by w: -log w); without one there is delta only. The
    problem is convex. A class without a held-out image is left out of the softmax; its delta is 0.

    logits: ``(H, E, C)``; labels: ``(H,)`` int64; counts: ``(C,)`` training images per class.
    The standard error is that of the weighted fit with its penalty taken as one more observation,
    H^-1 (G + P) H^-1 (H curvature, G variance of the weighted gradient, P = 1 / s^2); for it alone
    the bounds of kappa count as an observation of the variance 1/12 of a uniform distribution.
    Raises :class:`LtbenchError` where the minimiser does not converge.
    """
    weights = importance(labels, counts).numpy()
    experts = [
        _fit_expert(
            logits[:, e].double().numpy(),
            labels.numpy(),
            weights,
            None if reference is None else reference[e].double().numpy(),
        )
        for e in range(logits.shape[1])
    ]
    scaled = all(expert.kappa is not None for expert in experts)
    return BiasFit(
        torch.tensor(np.stack([expert.bias for expert in experts])).float(),
        torch.tensor(np.stack([expert.error for expert in experts])).float(),
        torch.tensor([expert.kappa for expert in experts]) if scaled else None,
        torch.tensor([expert.kappa_error for expert in experts]) if scaled else None,
    )


@dataclass(frozen=True)
class _ExpertFit:
    bias: Array
    error: Array
    kappa: float | None
    kappa_error: float | None


def _fit_expert(
    logits: Array, labels: NDArray[np.int64], weights: Array, reference: Array | None
) -> _ExpertFit:
    classes = logits.shape[1]
    absent = np.bincount(labels, minlength=classes) == 0
    logits = np.where(absent, -np.inf, logits)
    spread = SPREAD_ALONE if reference is None else SPREAD_ABOUT_REFERENCE
    centred = np.zeros(classes) if reference is None else reference - reference.mean()
    scaled = bool(np.ptp(centred) > 1e-9)  # a flat reference leaves nothing for kappa to scale
    design = np.column_stack([centred, np.eye(classes)]) if scaled else np.eye(classes)
    penalty = np.full(design.shape[1], spread**-2)
    penalty[: int(scaled)] = 0.0
    one_hot_sum = np.bincount(labels, weights=weights, minlength=classes)

    def objective(theta: Array) -> tuple[float, Array]:
        bias = design @ theta
        log_p = scipy.special.log_softmax(logits + bias, axis=1)
        loss = -(weights * log_p[np.arange(len(labels)), labels]).sum()
        slope = design.T @ (weights @ np.exp(log_p) - one_hot_sum) + penalty * theta
        return loss + 0.5 * (penalty * theta**2).sum(), slope

    start = np.zeros(design.shape[1])
    start[: int(scaled)] = 1.0
    bounds = [(0.0, 1.0)] * int(scaled) + [(None, None)] * classes
    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-14, "gtol": 1e-7}
    found = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    theta = found.x
    _check_converged(objective(theta)[1], theta, scaled, len(labels))
    known = np.where(penalty > 0, penalty, 1 / UNIT_INTERVAL_VARIANCE)
    covariance = _covariance(logits + design @ theta, weights, design, known)
    centre = np.eye(classes) - 1 / classes
    bias = centre @ design @ theta
    error = np.sqrt(np.diag(centre @ design @ covariance @ design.T @ centre).clip(min=0))
    if not scaled:
        return _ExpertFit(bias, error, None, None)
    return _ExpertFit(bias, error, float(theta[0]), float(np.sqrt(covariance[0, 0])))


def _check_converged(slope: Array, theta: Array, scaled: bool, images: int) -> None:
    """At a bound of kappa the slope may point outwards; everywhere else it must vanish."""
    slope = slope.copy()
    if scaled and ((theta[0] <= 0 and slope[0] > 0) or (theta[0] >= 1 and slope[0] < 0)):
        slope[0] = 0.0
    if not np.abs(slope).max() <= 1e-4 * max(images, 1):
        raise LtbenchError(
            f"the bias fit did not converge: slope {np.abs(slope).max():.2g} per {images} images"
        )


def _covariance(scores: Array, weights: Array, design: Array, penalty: Array) -> Array:
    p = np.exp(scipy.special.log_softmax(scores, axis=1))

    def information(w: Array) -> Array:
        inner = np.diag(w @ p) - (p * w[:, None]).T @ p
        result: Array = design.T @ inner @ design
        return result

    inverse = np.linalg.pinv(information(weights) + np.diag(penalty), hermitian=True)
    middle = information(weights**2) + np.diag(penalty)
    result: Array = inverse @ middle @ inverse
    return result
