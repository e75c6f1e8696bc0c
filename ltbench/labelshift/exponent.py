"""The likeliest exponent of a tilt of degree 1, for several weightings of the same images at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ltbench.labelshift.blocks import row_blocks
from ltbench.labelshift.newton import Local, maximise


def likeliest_exponents(
    u: Tensor, h: Tensor, spread: float, weights: Tensor, starts: Sequence[float]
) -> Tensor:
    """argmax_a sum_i w_i log sum_j u_ij q_a(j) - a^2 / (2 spread^2), q_a(j) proportional to exp(a h_j).

    u: ``(N, C)``; h: ``(C,)``; weights: ``(M, N)``, a problem each: to ``(M,)``. The best of the maxima
    that are uphill from each start.
    """
    likelihood = _Likelihood(u, h, spread, weights, len(starts))
    begin = torch.tensor(starts, dtype=torch.float64).repeat(len(weights))
    points, values = (each.reshape(len(weights), -1) for each in maximise(likelihood, begin))
    return points.gather(1, values.argmax(dim=1, keepdim=True))[:, 0]


class _Likelihood:
    """The objective per image, ``starts`` functions in a row for each row of weights.

    With r_ij = u_ij q_j / sum_l u_il q_l, the slope is sum_i w_i (E_ri h - E_q h), the curvature
    sum_i w_i (Var_ri h - Var_q h), less the normal prior's part. All follow from the sums over classes
    of u_ij q_j times 1, h and h^2: one matrix product.
    """

    def __init__(self, u: Tensor, h: Tensor, spread: float, weights: Tensor, starts: int) -> None:
        self.blocks = [(u[rows], weights[:, rows]) for rows in row_blocks(u)]
        self.size, self.precision = weights.sum(dim=1), spread**-2
        self.h, self.powers, self.starts = h, torch.stack([h**0, h, h**2]), starts

    def __call__(self, points: Tensor, numbers: Tensor) -> Local:
        chosen = numbers // self.starts
        q = (points[:, None] * self.h).softmax(dim=1)
        weighted = (self.powers[:, None] * q).flatten(0, 1)
        value, mean, variance = torch.zeros(3, len(q), dtype=torch.float64)
        for u, w in self.blocks:
            evidence, first, second = (weighted @ u.T).reshape(3, len(q), len(u))
            evidence = evidence.clamp_min(torch.finfo(torch.float64).tiny)
            first = first / evidence
            value += (w[chosen] * evidence.log()).sum(dim=1)
            mean += (w[chosen] * first).sum(dim=1)
            variance += (w[chosen] * (second / evidence - first**2)).sum(dim=1)
        size, (_, own, square) = self.size[chosen], self.powers @ q.T
        shrink = self.precision / size
        return Local(
            value / size - shrink * points**2 / 2,
            mean / size - own - shrink * points,
            variance / size - (square - own**2) - shrink,
        )
