"""Maxima of several smooth functions of few variables at once, by Newton steps with backtracking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Local:
    """P functions at a point each: value ``(P,)``, gradient ``(P, K)``, hessian ``(P, K, K)``."""

    value: Tensor
    gradient: Tensor
    hessian: Tensor


Evaluate = Callable[[Tensor, Tensor], Local]
"""Points ``(P, K)`` and the numbers ``(P,)`` of the functions that are meant, to what they are there."""

LONGEST = 2.0
"""Longest step: where the curvature vanishes, Newton's would be endless."""


def maximise(
    evaluate: Evaluate, start: Tensor, tolerance: float = 1e-15, evaluations: int = 200
) -> tuple[Tensor, Tensor]:
    """Local maxima ``(P, K)``, uphill from ``start`` ``(P, K)``, and the values ``(P,)`` there.

    Where a function is not concave, the curvatures' absolute values are taken, which keeps every step
    uphill; a step that gains too little is halved. A function is done once a step promises less than
    ``tolerance``, which for functions of order 1 is below what float64 can tell.
    """
    point, value = start.clone(), torch.empty(len(start), dtype=torch.float64)
    active = torch.arange(len(start))
    at = evaluate(point, active)
    step, promised = _step(at)
    share = torch.ones(len(active), dtype=torch.float64)
    value[active] = at.value
    for _ in range(evaluations):
        done = ~(promised > tolerance)  # NaN too: there is nothing to climb
        point[active[done]] += step[done]
        keep = ~done
        active, share = active[keep], share[keep]
        if len(active) == 0:
            break
        step, promised = step[keep], promised[keep]
        trial = point[active] + share[:, None] * step
        at = evaluate(trial, active)
        rounding = 1e-14 * value[active].abs()
        better = at.value >= value[active] + 1e-4 * share * promised - rounding
        point[active[better]] = trial[better]
        value[active[better]] = at.value[better]
        new_step, new_promised = _step(at)
        step = torch.where(better[:, None], new_step, step)
        promised = torch.where(better, new_promised, promised)
        share = torch.where(better, 1.0, share / 2)
    return point, value


def _step(at: Local) -> tuple[Tensor, Tensor]:
    """Newton steps ``(P, K)``, and gradient times step, twice what each gains of a quadratic."""
    curvature, axes = torch.linalg.eigh(at.hessian.nan_to_num())
    along = (axes.mT @ at.gradient[..., None])[..., 0] / curvature.abs().clamp_min(1e-12)
    step = (axes @ along[..., None])[..., 0]
    step = step * (LONGEST / step.norm(dim=1).clamp_min(LONGEST))[:, None]
    return step, (at.gradient * step).sum(dim=1)
