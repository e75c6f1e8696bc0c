"""Maxima of several smooth functions of one variable at once, by Newton steps with backtracking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Local:
    """P functions, each at a point of its own: value, slope and curvature, ``(P,)`` each."""

    value: Tensor
    slope: Tensor
    curvature: Tensor


Evaluate = Callable[[Tensor, Tensor], Local]
"""Points ``(P,)`` and the numbers ``(P,)`` of the functions that are meant, to what they are there."""

LONGEST = 2.0
"""Longest step: where the curvature vanishes, Newton's would be endless."""


def maximise(
    evaluate: Evaluate, start: Tensor, tolerance: float = 1e-15, evaluations: int = 200
) -> tuple[Tensor, Tensor]:
    """Local maxima ``(P,)``, uphill from ``start`` ``(P,)``, and the values ``(P,)`` there.

    Where a function is not concave, its curvature counts without its sign, which keeps every step
    uphill; a step that gains too little is halved. A function is done once a step promises less than
    ``tolerance``, which for functions of order 1 is below what float64 can tell.
    """
    point, active = start.clone(), torch.arange(len(start))
    at = evaluate(point, active)
    value, (step, promised) = at.value.clone(), _step(at)
    share = torch.ones_like(point)
    for _ in range(evaluations):
        keep = promised > tolerance  # not where it is NaN: there is nothing to climb
        point[active[~keep]] += step[~keep]
        active, share, step, promised = active[keep], share[keep], step[keep], promised[keep]
        if len(active) == 0:
            break
        trial = point[active] + share * step
        at = evaluate(trial, active)
        rounding = 1e-14 * value[active].abs()
        better = at.value >= value[active] + 1e-4 * share * promised - rounding
        point[active[better]] = trial[better]
        value[active[better]] = at.value[better]
        new_step, new_promised = _step(at)
        step = torch.where(better, new_step, step)
        promised = torch.where(better, new_promised, promised)
        share = torch.where(better, 1.0, share / 2)
    return point, value


def _step(at: Local) -> tuple[Tensor, Tensor]:
    """Newton steps ``(P,)``, and slope times step, twice what each gains of a quadratic."""
    step = (at.slope / at.curvature.abs().clamp_min(1e-12)).clamp(-LONGEST, LONGEST)
    return step, at.slope * step
