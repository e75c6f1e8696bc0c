"""Non-negative least squares with a ridge towards 1, for one matrix and several ridges."""

from __future__ import annotations

import numpy as np
import scipy  # scipy.linalg and scipy.optimize load where they are used
from numpy.typing import NDArray

Array = NDArray[np.float64]
Free = NDArray[np.bool_]

PATIENCE = 3
"""Exchanges of all classes at once that may bring no progress, before one is exchanged at a time."""


class TowardsOne:
    """Solves min |A w - b|^2 + ridge |w - 1|^2 over w >= 0, for one A ``(K, C)`` and b ``(K,)``.

    Block principal pivoting (Portugal, Judice, Vicente, Mathematics of Computation 1994; Kim, Park, SIAM
    J. Scientific Computing 2011) on the normal equations, refined against A itself, from the free
    classes of the ridge before. An answer whose optimality conditions do not hold is replaced by that
    of ``scipy.optimize.nnls``.
    """

    def __init__(self, table: Array, target: Array) -> None:
        self.table, self.target = table, target
        self.gram, self.sizes = table.T @ table, np.abs(table.T) @ np.abs(table)
        self.reach = np.abs(table.T) @ np.abs(target)
        self.free: Free = np.ones(table.shape[1], dtype=bool)

    def __call__(self, ridge: float) -> Array:
        """w ``(C,)``, exact to rounding; ridge > 0."""
        found = self._pivoted(ridge)
        return self._slow(ridge) if found is None else found

    def _pivoted(self, ridge: float) -> Array | None:
        """None where the pivots do not end."""
        free, fewest, patience = self.free.copy(), len(self.free) + 1, PATIENCE
        for _ in range(10 * len(free) + 100):
            weights = self._unconstrained(ridge, free)
            if weights is None:
                return None
            wrong = self._wrong(ridge, weights, free)
            count = int(wrong.sum())
            if count == 0:
                self.free = free
                return np.maximum(weights, 0.0)
            if count < fewest:
                fewest, patience = count, PATIENCE
            elif patience > 0:
                patience -= 1
            else:
                last = np.flatnonzero(wrong)[-1]
                wrong = np.zeros_like(wrong)
                wrong[last] = True
            free = free ^ wrong
        return None

    def _unconstrained(self, ridge: float, free: Free) -> Array | None:
        """The minimum where only the free classes may differ from 0, two steps of refinement."""
        chosen, weights = np.flatnonzero(free), np.zeros(len(free))
        matrix = self.gram[np.ix_(chosen, chosen)]
        matrix[np.diag_indices_from(matrix)] += ridge
        try:
            factor = scipy.linalg.cho_factor(matrix, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        for _ in range(3):
            down = -self._slope(ridge, weights)[chosen]
            weights[chosen] += scipy.linalg.cho_solve(factor, down, check_finite=False)
        return weights

    def _slope(self, ridge: float, weights: Array) -> Array:
        """Half the gradient, by A itself: the normal matrix has lost half the digits."""
        slope: Array = self.table.T @ (self.table @ weights - self.target) + ridge * (weights - 1)
        return slope

    def _wrong(self, ridge: float, weights: Array, free: Free) -> Free:
        """Free classes below 0, and others that would lower the objective above 0."""
        rounding = 1e-14 * (self.sizes @ np.abs(weights) + self.reach + ridge)
        below = weights < -1e-12 * np.abs(weights).max(initial=0.0)
        wrong: Free = np.where(free, below, self._slope(ridge, weights) < -rounding)
        return wrong

    def _slow(self, ridge: float) -> Array:
        root, classes = np.sqrt(ridge), len(self.free)
        stacked = np.vstack([self.table, root * np.eye(classes)])
        weights: Array = scipy.optimize.nnls(
            stacked, np.concatenate([self.target, np.full(classes, root)])
        )[0]
        return weights
