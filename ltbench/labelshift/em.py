"""Maximum-likelihood prior of unlabelled images (MLLS), by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.hyper import Json
from ltbench.labelshift.blocks import row_blocks
from ltbench.progress import tell


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
    added = torch.as_tensor(pseudo, dtype=torch.float64).expand_as(start)
    return em_each(u, start, added[None], tolerance=tolerance, iterations=iterations)[0]


def em_each(
    u: Tensor,
    start: Tensor,
    pseudo: Tensor,
    *,
    tolerance: float = 1e-6,
    iterations: int = 1000,
) -> list[EmResult]:
    """``em`` for each row of pseudo ``(M, C)``, all at once: u is read once for all.

    Each row stops at its own convergence, so that it ends where a run of its own would.
    """
    now = (start / start.sum()).double().repeat(len(pseudo), 1)
    added, total = pseudo.double(), len(u) + pseudo.double().sum(dim=1, keepdim=True)
    running = list(range(len(pseudo)))  # whose rows `now`, `added` and `total` hold
    found: dict[int, EmResult] = {}
    for iteration in range(1, iterations + 1):
        tell("EM", iteration - 1, iterations)
        old = now
        now = (old * _explained(u, old) + added) / total
        now = now / now.sum(dim=1, keepdim=True)
        still = ~((now - old).abs().amax(dim=1) <= tolerance)  # NaN has not converged
        if still.all():
            continue
        for row, prior, on in zip(running, now, still.tolist(), strict=True):
            if not on:
                found[row] = EmResult(prior.clone(), iteration, True)
        now, added, total = now[still], added[still], total[still]
        running = [row for row in running if row not in found]
        if not running:
            break
    found |= {
        row: EmResult(prior.clone(), iterations, False)
        for row, prior in zip(running, now, strict=True)
    }
    return [found[row] for row in range(len(pseudo))]


def _explained(u: Tensor, q: Tensor) -> Tensor:
    """sum_i u_ij / sum_l u_il q_l for each row of q: ``(M, C)`` to ``(M, C)``."""
    found = torch.zeros_like(q)
    for rows in row_blocks(u):
        block = u[rows]
        evidence = (q @ block.T).clamp_min(torch.finfo(torch.float64).tiny)
        found.addmm_(1 / evidence, block)
    return found
