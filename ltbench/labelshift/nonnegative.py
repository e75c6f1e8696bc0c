"""Non-negative least squares with a ridge towards 1, for one matrix and several ridges."""

from __future__ import annotations

import math

import numpy as np
import scipy  # scipy.linalg and scipy.optimize load where they are used
from numpy.typing import NDArray

Array = NDArray[np.float64]
Free = NDArray[np.bool_]

PATIENCE = 3
"""Exchanges in a row that may leave as many classes wrong as before."""
REFINED = 4
"""Solutions with one factor, each of what the one before left over."""
SHORTEST = 0.01
"""Of a step from ridge to ridge, natural logarithm: a change that moves hardly a class."""


class TowardsOne:
    """Solves min |A w - b|^2 + ridge |w - 1|^2 over w >= 0, for one A ``(K, C)`` and b ``(K,)``, both
    without negative entries.

    Block principal pivoting (Kim, Park, SIAM J. Scientific Computing 2011) on the normal equations,
    refined against A itself, from the free classes of the ridge before. Where the exchanges do not
    settle, a ridge halfway is solved first; where that does not help either, ``scipy.optimize.nnls``
    answers. A returned answer of the pivots fulfils the optimality conditions to rounding.
    """

    def __init__(self, table: Array, target: Array) -> None:
        self.table, self.target = table, target
        self.gram, self.pull = table.T @ table, table.T @ target
        self.free: Free = np.ones(table.shape[1], dtype=bool)
        self.log_ridge = math.inf  # where all are free: w = 1

    def __call__(self, log_ridge: float) -> Array:
        """w ``(C,)``, exact to rounding."""
        found = self._reached(log_ridge)
        return self._slow(math.exp(log_ridge)) if found is None else found

    def _reached(self, log_ridge: float) -> Array | None:
        """From where the last answer was, in steps halved as long as pivots do not settle."""
        found = self._pivoted(math.exp(log_ridge))
        if found is not None:
            self.log_ridge = log_ridge
            return found
        if self.log_ridge == math.inf:
            self.log_ridge = max(log_ridge, 0.0) + 1  # beyond |A| <= 1 the ridge rules
        if abs(self.log_ridge - log_ridge) < SHORTEST:
            return None
        halfway = (self.log_ridge + log_ridge) / 2
        return None if self._reached(halfway) is None else self._reached(log_ridge)

    def _pivoted(self, ridge: float) -> Array | None:
        """None where the number of wrong classes no longer falls."""
        free, fewest, patience = self.free, len(self.free) + 1, PATIENCE
        while patience >= 0:
            tried = self._exchange(ridge, free)
            if tried is None:
                return None
            weights, wrong = tried
            count = int(wrong.sum())
            if count == 0:
                self.free = free
                return np.maximum(weights, 0.0)
            patience = PATIENCE if count < fewest else patience - 1
            fewest = min(count, fewest)
            free = free ^ wrong
        return None

    def _exchange(self, ridge: float, free: Free) -> tuple[Array, Free] | None:
        """The minimum where only the free classes differ from 0, and the classes that are wrong there:
        free ones below 0, and others that would lower the objective above 0."""
        chosen, weights = np.flatnonzero(free), np.zeros(len(free))
        matrix = self.gram.copy() if free.all() else self.gram[np.ix_(chosen, chosen)]
        matrix[np.diag_indices_from(matrix)] += ridge
        try:
            # symmetric: the transpose has the order of LAPACK, and needs no copy
            factor = scipy.linalg.cho_factor(matrix.T, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        slope = -self.pull - ridge  # half the gradient
        for _ in range(REFINED):
            weights[chosen] -= scipy.linalg.cho_solve(factor, slope[chosen], check_finite=False)
            # by A itself: the normal matrix has lost half the digits
            slope = self.table.T @ (self.table @ weights - self.target) + ridge * (weights - 1)
            rounding = 1e-15 * (self.gram @ np.abs(weights) + self.pull + ridge)
            if (np.abs(slope[chosen]) <= rounding[chosen]).all():
                break
        below = weights < -1e-12 * np.abs(weights).max(initial=0.0)
        return weights, np.where(free, below, slope < -10 * rounding)

    def _slow(self, ridge: float) -> Array:
        root, classes = np.sqrt(ridge), len(self.free)
        stacked = np.vstack([self.table, root * np.eye(classes)])
        weights: Array = scipy.optimize.nnls(
            stacked, np.concatenate([self.target, np.full(classes, root)])
        )[0]
        return weights
