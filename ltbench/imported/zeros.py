"""Log-probabilities of minus infinity: probabilities that were rounded to 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_HALF = -24 * math.log(2)  # of the smallest positive number of 16 bits
_DOUBLE = -1074 * math.log(2)  # of the smallest positive number of 64 bits


def without_zeros(scores: Tensor) -> tuple[Tensor, float | None]:
    """``(N, E, C)`` scores with each minus infinity replaced, and the log-probability it became.

    A probability of 0 is one too small for its precision, not an impossible class: under a test prior
    without the other classes a row of such zeros would have no prediction at all. It becomes the
    smallest log-probability of all that are there, or log 2^-24 (16 bits) where that is smaller. Log-
    probabilities are those of each row, log softmax(z), so logits with ruled-out classes are read,
    too. None where nothing is replaced. Each row must have a finite score.
    """
    zero = scores == -math.inf
    if not zero.any():
        return scores, None
    total = torch.logsumexp(scores.double(), dim=2, keepdim=True)
    smallest = (scores.double() - total)[~zero].min().item()
    floor = max(min(smallest, _HALF), _DOUBLE)
    return torch.where(zero, (total + floor).float(), scores), floor
