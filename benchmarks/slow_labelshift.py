"""The estimators of label shift one sub-problem at a time, and RLLS by cvxpy: what ours is compared with."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.labelshift.confusion import Moments
from ltbench.labelshift.em import em
from ltbench.labelshift.posterior import log_evidence

Array = NDArray[np.float64]


def rlls_objective(found: Moments, rho: float, weights: Array) -> float:
    residual = np.linalg.norm(found.table @ weights - found.target)
    return float(residual + rho * np.linalg.norm(weights - 1))


def rlls_by_nnls(found: Moments, rho: float) -> Array:
    """The same search over the ridge, each solved by ``scipy.optimize.nnls`` from nothing."""
    classes = len(found.target)

    def at(log_ridge: float) -> Array:
        root = math.exp(log_ridge / 2)
        stacked = np.vstack([found.table, root * np.eye(classes)])
        target = np.concatenate([found.target, np.full(classes, root)])
        return np.asarray(scipy.optimize.nnls(stacked, target)[0])

    def loss(log_ridge: float) -> float:
        return rlls_objective(found, rho, at(log_ridge))

    options = {"xatol": 1e-4}
    best = scipy.optimize.minimize_scalar(
        loss, bounds=(-30.0, 10.0), method="bounded", options=options
    )
    ends = (np.ones(classes), at(-30.0), at(float(best.x)))
    return min(ends, key=lambda weights: rlls_objective(found, rho, weights))


def rlls_by_cvxpy(found: Moments, rho: float) -> Array:
    """The convex problem as it is written, by cvxpy's default solver."""
    cp: Any = importlib.import_module("cvxpy")
    theta = cp.Variable(len(found.target))
    gap = found.target - found.table.sum(axis=1)
    loss = cp.norm(found.table @ theta - gap) + rho * cp.norm(theta)
    cp.Problem(cp.Minimize(loss), [theta >= -1]).solve()
    return np.maximum(np.asarray(theta.value, dtype=np.float64) + 1, 0)


def tilt_by_lbfgs(u: Tensor, features: Tensor, spread: float, weights: Tensor) -> Tensor:
    """Exponents ``(K,)`` by L-BFGS from three starts in turn."""
    size, w, likelihood, f = float(weights.sum()), weights.numpy(), u.numpy(), features.numpy()

    def loss(a: Array) -> tuple[float, Array]:
        scores = a @ f
        q = np.exp(scores - scores.max())
        q /= q.sum()
        evidence = np.maximum(likelihood @ q, np.finfo(np.float64).tiny)
        value = w @ np.log(evidence) - a @ a / (2 * spread**2)
        gradient = f @ (q * (likelihood.T @ (w / evidence)) - size * q) - a / spread**2
        return -value / size, -gradient / size

    starts = [np.eye(len(f))[0] * first for first in (0.0, 1.5, -1.5)]
    ends = [scipy.optimize.minimize(loss, a, jac=True, method="L-BFGS-B") for a in starts]
    return torch.from_numpy(min(ends, key=lambda one: float(one.fun)).x)


def fallback_in_turn(
    u: Tensor, features: Tensor, spread: float, strengths: tuple[float, ...], rng: torch.Generator
) -> Tensor:
    """The prior ``(C,)`` of ``tilt[fallback=true]`` of degree 1, each candidate fitted by itself."""

    def estimate(part: Tensor, candidate: int) -> Tensor:
        exponents = tilt_by_lbfgs(part, features, spread, torch.ones(len(part)).double())
        centre = (exponents @ features).softmax(dim=0)
        if candidate == 0:
            return centre
        return em(part, centre, strengths[candidate - 1] * len(part) * centre).prior

    order = torch.randperm(len(u), generator=rng)
    one, two = order[: len(u) // 2], order[len(u) // 2 :]
    scores = []
    for candidate in range(1 + len(strengths)):
        halves = [
            log_evidence(u[b], estimate(u[a], candidate)) for a, b in ((one, two), (two, one))
        ]
        scores.append(torch.cat(halves))
    logs = torch.stack(scores)
    lost = logs[logs.mean(dim=1).argmax()] - logs
    close = lost.mean(dim=1) <= lost.std(dim=1) / len(u) ** 0.5
    return estimate(u, int(close.nonzero()[0]))
