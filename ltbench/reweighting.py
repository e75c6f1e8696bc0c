"""What losses that favour rare classes have in common: LDAM's margins, weights by effective numbers."""

from __future__ import annotations

from torch import Tensor


def ldam_margins(counts: Tensor, largest: float, scale: float) -> Tensor:
    """``(C,)`` float32: s m_max (n_j / n_min)^(-1/4), what the target's logit loses.

    Source: Cao et al. 2019 (LDAM).
    """
    n = counts.double()
    return (scale * largest * (n / n.min()) ** -0.25).float()


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """``(C,)`` float32: (1 - beta) / (1 - beta^n_j), scaled to sum C; at beta = 1 its limit, 1 / n_j.

    Source: Cui et al. 2019 (class-balanced loss).
    """
    n = counts.double()
    weights = (1 - beta) / (1 - beta**n) if beta < 1 else 1 / n
    return (weights * len(counts) / weights.sum()).float()
