"""Checks on what a plugin hands back, before any of it becomes a number in a record."""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.errors import ContractError


def checked_scores(scores: object, expected: tuple[int, int], who: str) -> Tensor:
    """``(N, C)`` scores, after checking type, shape and NaN: a NaN must never count as class 0.

    Minus infinity is allowed (a class that is ruled out), for a whole row it is not. Raises
    :class:`ContractError`, beginning with ``who``.
    """
    if not isinstance(scores, Tensor):
        raise ContractError(f"{who} returned {type(scores).__name__}; expected a tensor")
    scores = scores.detach()
    if tuple(scores.shape) != expected or not scores.is_floating_point():
        shape = f"{tuple(scores.shape)} {scores.dtype}"
        raise ContractError(f"{who} returned scores {shape}; expected {expected} of a float type")
    if torch.isnan(scores).any() or not torch.isfinite(scores.amax(dim=1)).all():
        raise ContractError(
            f"{who} returned scores that are NaN or infinite; expected finite numbers"
        )
    return scores
