"""The orders in which the images of a test set arrive as a stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltbench.shift.profiles import Counts
from ltbench.shift.sampling import Indices

ORDERS = ("random", "drifting")


def drifting_times(
    labels: Indices, rank: Counts, ratio: float, uniform: NDArray[np.float64]
) -> NDArray[np.float64]:
    """When each image arrives, in [0, 1]: the prior moves from forward to backward.

    A class at place u = rank / (C - 1) in [0, 1] (0: the head) arrives with density
    f_u(t) = exp(s t) * s / (exp(s) - 1), s = 2 log(ratio) (u - 1/2), so that at time t the prior is
    proportional to n_c f_u(t): against the set's own counts n_c, the head is ``ratio`` times as
    frequent as the tail at t = 0, equally frequent at t = 1/2, and 1/ratio times at t = 1. Every
    image of the set arrives once. labels ``(N,)``; rank ``(C,)``: training rank of each class;
    uniform ``(N,)``: random numbers in [0, 1), turned into times by the inverse distribution
    function t = log(1 + v (exp(s) - 1)) / s.
    """
    place = rank[labels] / max(len(rank) - 1, 1)
    s = 2 * np.log(ratio) * (place - 0.5)
    flat = np.abs(s) < 1e-9
    safe = np.where(flat, 1.0, s)
    times: NDArray[np.float64] = np.where(flat, uniform, np.log1p(uniform * np.expm1(safe)) / safe)
    return times
