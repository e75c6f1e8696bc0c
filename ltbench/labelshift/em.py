"""Maximum-likelihood prior of unlabelled images (MLLS), by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.hyper import Json


@dataclass(frozen=True)
class EmResult:
    """prior ``(C,)`` float64; whether it converged, and after how many iterations."""

    prior: Tensor
    iterations: int
    converged: bool

    def to_json(self) -> dict[str, Json]:
        return {"iterations": self.iterations, "converged": self.converged}


def em(
    u: Tensor,
    start: Tensor,
    pseudo: Tensor | float = 0.0,
    *,
    tolerance: float = 1e-6,
    iterations: int = 1000,
) -> EmResult:
    """Maximises sum_i log sum_j u_ij q_j + sum_j k_j log q_j over priors q.

    u: ``(N, C)`` likelihoods p(x_i|y), each image up to a factor; start: ``(C,)``; pseudo: k, scalar
    or ``(C,)``, >= 0: images added to each class (a Dirichlet prior of concentration 1 + k).
    E: r_ij proportional to u_ij q_j. M: q_j = (sum_i r_ij + k_j) / (N + sum k). Stops when no q_j
    moves more than ``tolerance``, or after ``iterations``. Source: Saerens, Latinne, Decaestecker,
    Neural Computation 2002, equations 2.9.
    """
    q = (start / start.sum()).double()
    added = torch.as_tensor(pseudo, dtype=torch.float64).expand_as(q)
    total = len(u) + added.sum()
    tiny = torch.finfo(torch.float64).tiny
    for iteration in range(1, iterations + 1):
        expected = q * (u.T @ (1 / (u @ q).clamp_min(tiny)))
        updated = (expected + added) / total
        updated = updated / updated.sum()
        moved = (updated - q).abs().max().item()
        q = updated
        if moved <= tolerance:
            return EmResult(q, iteration, True)
    return EmResult(q, iterations, False)
