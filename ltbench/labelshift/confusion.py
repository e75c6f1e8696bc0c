"""Importance weights of classes from a confusion table: the moments that BBSE and RLLS match."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # scipy.optimize, a third of a second, loads where it is used
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ltbench.hyper import Json
from ltbench.labelshift.holdout import confusion, known_holdout
from ltbench.labelshift.nonnegative import TowardsOne
from ltbench.labelshift.posterior import LogPosterior, predict_at
from ltbench.labelshift.temperature import TemperedHyper
from ltbench.method import log_prior
from ltbench.settings import setting
from ltbench.strategy import Adapted, Source, UnlabelledTest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifierHyper(TemperedHyper):
    """Which fixed classifier is counted. Any gives a valid equation; one that never says some class
    gives one without a unique solution."""

    classifier: str = setting(
        "training",
        choices=("training", "uniform"),
        help="the prior at which the counted classifier decides",
    )
    soft: bool = setting(False, help="counts probabilities instead of decisions")


@dataclass(frozen=True)
class Moments:
    """table ``(C, C)``: P_train(said k, is j); target ``(C,)``: P_test(said k); held: hold-out size.

    Where p(x|y) is that of training, table @ w = target for the weights w_j = q_j / pi_j.
    """

    table: Array
    target: Array
    held: int


def moments(
    test: UnlabelledTest, source: Source, posterior: LogPosterior, hyper: ClassifierHyper
) -> Moments:
    """Counts what the classifier says on hold-out (weighted) and test images."""
    held = known_holdout(source)
    shift = log_prior(source.method.counts) if hyper.classifier == "uniform" else 0.0

    def says(logits: Tensor) -> Tensor:
        scores = (posterior(logits) - shift).double()
        if hyper.soft:
            return scores.softmax(dim=1)
        return F.one_hot(scores.argmax(dim=1), scores.shape[1]).double()

    table = confusion(says(held.logits), held.labels, held.weights)
    return Moments(table.numpy(), says(test.logits).mean(dim=0).numpy(), len(held.labels))


def solve(found: Moments) -> tuple[Array, int]:
    """w = 1 + C^+ (target - C 1), and the rank of C.

    C^+ is the inverse where there is one; else the solution nearest to "no shift" that fits best.
    """
    ones = np.ones(len(found.target))
    theta, _, rank, _ = np.linalg.lstsq(found.table, found.target - found.table @ ones, rcond=None)
    return np.asarray(1 + theta, dtype=np.float64), int(rank)


def on_simplex(found: Moments, prior: Array) -> Array:
    """w = q / pi, q = argmin |A q - mu| over label distributions, Euclidean norm.

    A_kj = P(said k | is j): the columns of the table divided by their sums; prior: pi ``(C,)``, sum 1.
    A class without a hold-out image has no column: it keeps q_j = pi_j, and the others share the rest
    as they fit best. The minimum is exact: for B = A - mu 1^T and q = t p, p on the simplex,
    |[B; 1^T] q - [0; 1]|^2 is smallest at t = 1 / (1 + |B p|^2), where it is |B p|^2 / (1 + |B p|^2) and
    rises with |B p| = |A p - mu|: the non-negative least-squares solution, scaled to sum 1.
    Source: the constrained adjustment that QuaPy solves by default.
    """
    column = found.table.sum(axis=0)
    known = column > 0
    conditional = found.table[:, known] / column[known]
    stacked = np.vstack([conditional - found.target[:, None], np.ones(conditional.shape[1])])
    goal = np.append(np.zeros(len(found.target)), 1.0)
    solution = scipy.optimize.nnls(stacked, goal)[0]
    q = np.array(prior, dtype=np.float64)
    q[known] = q[known].sum() * solution / solution.sum()
    return np.asarray(q / prior, dtype=np.float64)


_LEAST, _MOST = -30.0, 10.0
"""Natural logarithms of the ridges that are searched."""
_TINY = 1e-300
"""For a norm of 0 or no regularisation, whose logarithm then points beyond either end."""


def regularised(found: Moments, rho: float) -> Array:
    """w = 1 + argmin_{theta >= -1} |C theta - (target - C 1)| + rho |theta|, Euclidean norms.

    For each l, min |C theta - b|^2 + l |theta|^2 is a non-negative least-squares problem in w; its
    solutions over l in [0, inf] are all compromises between the two norms. Along them the slope of the
    one by the other is -l |theta| / |C theta - b| and only rises, so that the objective has its minimum
    where l = rho |C theta - b| / |theta|: the root is bracketed by steps towards it, then found by
    Brent's method. Where there is none, an end of the path is the minimum.
    """
    ones = np.ones(len(found.target))
    gap = found.target - found.table @ ones
    at = TowardsOne(found.table, found.target)

    def norms(weights: Array) -> tuple[float, float]:
        theta = weights - 1
        return float(np.linalg.norm(found.table @ theta - gap)), float(np.linalg.norm(theta))

    def beyond(log_l: float) -> float:
        """How far the root lies above ``log_l``, were the norms to stay."""
        residual, length = norms(at(log_l))
        return math.log(max(rho * residual, _TINY) / max(length, _TINY)) - log_l

    def objective(weights: Array) -> float:
        residual, length = norms(weights)
        return residual + rho * length

    best = at(_crossing(beyond, math.log(max(rho * float(np.linalg.norm(gap)), _TINY))))
    return min((ones, at(_LEAST), best), key=objective)


def _crossing(beyond: Callable[[float], float], start: float) -> float:
    """Where ``beyond``, from positive to negative, is 0; else the end of the range it points to."""
    x = min(max(start, _LEAST), _MOST)
    value = beyond(x)
    while value != 0:
        onward = min(max(x + 1.5 * value + math.copysign(0.05, value), _LEAST), _MOST)
        if onward == x:
            return x
        following = beyond(onward)
        if (following > 0) != (value > 0):
            ends = sorted((x, onward))
            return float(scipy.optimize.brentq(beyond, *ends, xtol=1e-9, rtol=1e-12))
        x, value = onward, following
    return x


def deviation(classes: int, held: int, alpha: float, delta: float) -> float:
    """rho = 3 alpha (2 log(2C/delta) / (3H) + sqrt(2 log(2C/delta) / H)): how far the confusion table
    of H images may be off."""
    bound = 2 * math.log(2 * classes / delta)
    return 3 * alpha * (bound / (3 * held) + math.sqrt(bound / held))


def predict_weighted(
    weights: Array,
    test: UnlabelledTest,
    source: Source,
    posterior: LogPosterior,
    diagnostics: Mapping[str, Json],
) -> Adapted:
    """Predictions at q = w pi, negative weights clipped to 0, q normalised.

    Where no weight is positive there is no estimate: q = pi and the diagnostics say ``failed``.
    """
    pi = log_prior(source.method.counts).double().exp()
    clipped = torch.from_numpy(weights).clamp_min(0)
    failed = not bool((clipped * pi).sum() > 0)
    q = pi if failed else clipped * pi
    facts = {**diagnostics, "clipped": int((weights < 0).sum()), "failed": failed}
    return predict_at(q / q.sum(), test, source, posterior, facts)
