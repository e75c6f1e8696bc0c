"""Independent judges, slow and more exact than either side: certificates in long double."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Long = np.longdouble


def likelihood_gap(posteriors: Array, prior: Array, found: Array) -> float:
    """How much mean log-likelihood ``found`` loses at most against the best of all priors.

    L(q) = mean_i log sum_j u_ij q_j, u = posteriors / prior, is concave on the simplex, hence
    L(best) - L(q) <= max_j dL/dq_j - 1 (Frank-Wolfe gap): a certificate that needs no other solver.
    """
    u = posteriors.astype(Long) / prior.astype(Long)
    q = found.astype(Long) / found.astype(Long).sum()
    slope = (u / (u @ q)[:, None]).mean(axis=0)
    return float(slope.max() - 1)


def calibration_slope(
    logits: Tensor,
    labels: Tensor,
    scale: Array,
    shift: Array,
    penalty: float = 0.0,
    *,
    only_scale: bool = False,
) -> float:
    """Largest derivative of mean NLL(softmax(scale * l + shift)) + penalty |shift|^2, long double.

    The objective is convex: 0 is the minimum. scale ``(1,)`` or ``(C,)``; ``only_scale``: shift is fixed.
    """
    raw = logits.double().numpy().astype(Long)
    z = raw * scale.astype(Long) + shift.astype(Long)
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(raw)), labels.numpy()] -= 1
    by_shift = p.mean(axis=0) + 2 * penalty * shift.astype(Long)
    by_class = (p * raw).mean(axis=0)
    by_scale = by_class if len(scale) > 1 else by_class.sum(keepdims=True)
    steepest = np.abs(by_scale).max()
    return float(steepest if only_scale else max(steepest, np.abs(by_shift).max()))


def long_softmax(logits: Tensor) -> NDArray[np.longdouble]:
    z = logits.double().numpy().astype(Long)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def one_hot(labels: Tensor, classes: int) -> Array:
    return np.asarray(torch.nn.functional.one_hot(labels, classes).double().numpy())


def least_squares_gap(matrix: Array, target: Array, found: Array) -> float:
    """How much |A q - b|^2 at most exceeds its minimum over the simplex (Frank-Wolfe gap): it is convex,
    hence f(q) - f(best) <= grad . q - min_j grad_j."""
    q = found.astype(Long) / found.astype(Long).sum()
    slope = 2 * matrix.astype(Long).T @ (matrix.astype(Long) @ q - target.astype(Long))
    return float(slope @ q - slope.min())
