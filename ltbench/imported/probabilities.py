"""Telling probabilities from logits, within the precision of what was given."""

from __future__ import annotations

import torch
from torch import Tensor

_SCALES = ((1.0, "probabilities"), (100.0, "probabilities in per cent"))
_SLACK = 0.02  # of a row's sum: 16-bit rounding, three significant digits
_DECIMALS = range(5)


def normalised_scores(scores: Tensor) -> str | None:
    """What ``(N, C)`` scores are where they are no logits: ``"probabilities"``, or None.

    Probabilities are never negative and each row sums to 1 (to 100 in per cent), up to rounding: a
    value given with k decimals stands for one within half a unit of the last (a whole one where it
    was cut off), so a row's true sum lies in [S - u e, S + u C], u = 10^-k, e the lesser of n / 2 and five
    standard errors of n rounded values, n the values above zero. Negative log-probabilities are told
    by sum_c exp(-z_c) = 1.
    """
    if scores.min() < -1e-4:
        return None
    whole = scores.double()
    if bool((torch.logsumexp(-whole, dim=1).abs() < 1e-3).all()):
        return "negative log-probabilities"
    highest = whole.max()
    for scale, name in _SCALES:
        if highest > scale * (1 + _SLACK) or (scale > 1 and _is_one_hot(whole, scale)):
            continue
        unit = _last_decimal(whole)
        sums, above = whole.sum(dim=1), (whole > 0).sum(dim=1)
        slack = _SLACK * scale
        up = torch.minimum(above / 2, 5 * (above / 12).sqrt())
        low, high = sums - unit * up - slack, sums + unit * whole.shape[1] + slack
        if bool(((low <= scale) & (high >= scale)).all()) and sums.median() >= 0.6 * scale:
            return name
    return None


def _is_one_hot(scores: Tensor, scale: float) -> bool:
    """100 times an indicator of the class are scores as anybody's logits may be."""
    return bool(((scores == 0) | (scores == scale)).all())


def _last_decimal(scores: Tensor) -> float:
    """10^-k where all values have k decimals, as far as their precision tells; 0 for none."""
    single = scores.float()
    relative = 2.0**-23
    for kind, bits in ((torch.float16, 10), (torch.bfloat16, 7)):
        if bool((single.to(kind).float() == single).all()):
            relative = 2.0**-bits
    for k in _DECIMALS:
        shifted = scores * 10.0**k
        if bool(((shifted - shifted.round()).abs() <= 1e-3 + relative * shifted.abs()).all()):
            return float(10.0**-k)
    return 0.0
