"""What losses that favour rare classes have in common: LDAM's margins, weights by effective numbers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ltbench.hyper import Hyper
from ltbench.settings import setting


@dataclass(frozen=True)
class DeferredHyper(Hyper):
    """Deferred re-weighting (DRW) as settings of a loss that had none: never, unless asked for."""

    reweight_from: float = setting(
        1.0, low=0, high=1, later=True, help="progress at which re-weighting starts (DRW); 1: never"
    )
    beta: float = setting(
        0.9999, low=0, high=1, later=True, help="of the effective number of samples, for DRW"
    )


def deferred_of(hyper: Hyper) -> DeferredHyper:
    """``hyper`` where it says when to re-weight; else, as in a subclass with settings of its own, never."""
    return hyper if isinstance(hyper, DeferredHyper) else DeferredHyper()


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


def bias_under_weights(shift: Tensor, weights: Tensor, start: float) -> Tensor | None:
    """``(1, C)``: the bias of cross-entropy on z + ``shift`` ``(C,)``, weighted from ``start`` on.

    shift - log w where the weights act all through training, shift where they never do; None between
    the two, where training goes a part of the way.
    """
    if 0 < start < 1:
        return None
    return (shift - weights.log() if start == 0 else shift)[None]
