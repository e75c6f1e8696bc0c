"""Scores as a model gives them: what counts as logits, and what is refused."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.imported.probabilities import normalised_scores
from ltbench.imported.zeros import without_zeros

_SMALL, _LARGE = 1.0, 50.0


def checked_logits(array: Tensor, where: str) -> tuple[Tensor, float | None]:
    """``(N, E, C)`` finite float32 scores of ``(N, C)`` or ``(N, E, C)``, and what minus infinities
    among them were read as. Raises :class:`InputError` that begins with ``where``.
    """
    if array.ndim in (2, 3) and array.shape[-1] > 1 and array.dtype != torch.bool:
        _refuse_probabilities(array if array.ndim == 3 else array[:, None], where)
    if not array.is_floating_point():
        raise InputError(
            f"{where} holds whole numbers ({array.dtype}); logits are floating-point scores, one "
            "per class, before any argmax"
        )
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3 or array.shape[2] < 2:
        raise InputError(
            f"{where} has shape {tuple(array.shape)}; expected (N, C) or (N, E, C) with C >= 2, or "
            "(N,) scores of class 1 of two"
        )
    scores = array.float().contiguous()
    bad = (torch.isnan(scores) | (scores == math.inf)).any(dim=2).any(dim=1)
    if bad.any():
        place = int(bad.nonzero()[0])
        raise InputError(
            f"{where}: the logits of image {place} are NaN or infinite ({int(bad.sum())} such "
            "images); expected finite float32 numbers, or minus infinity for a probability of 0"
        )
    empty = (scores == -math.inf).all(dim=2).any(dim=1)
    if empty.any():
        place = int(empty.nonzero()[0])
        raise InputError(
            f"{where}: every logit of image {place} is minus infinity ({int(empty.sum())} such "
            "images); each row needs a class of finite score"
        )
    return without_zeros(scores)


def _refuse_probabilities(array: Tensor, where: str) -> None:
    for expert in range(array.shape[1]):
        found = normalised_scores(array[:, expert])
        if found is None:
            continue
        which = f"{where}: expert {expert}" if array.shape[1] > 1 else where
        if found.startswith("negative"):
            raise InputError(f"{which} holds {found}; give them with the other sign")
        per_cent = found.endswith("per cent")
        total, formula = ("100", "np.log(p / 100)") if per_cent else ("1", "np.log(p)")
        raise InputError(
            f"{which} holds {found} (from 0 to {total}, each row sums to {total} up to rounding); give "
            f"the logits, or {formula}, better before rounding; a probability of 0 may be -inf"
        )


def doubtful_range(logits: Tensor) -> str | None:
    """A line where all scores lie from 0 to 1 or from 0 to 100, as no logits usually do.

    Such scores are taken as they are: rows that sum to 1 or 100 were refused before.
    """
    low, high = logits.min().item(), logits.max().item()
    if low < 0:
        return None
    if high <= _SMALL:
        span, why = "0 to 1", "their softmax is nearly uniform; of sigmoids give the logits"
    elif _LARGE < high <= 100:
        span, why = "0 to 100", "their softmax is nearly one-hot; of per cent give np.log(p / 100)"
    else:
        return None
    return f"all scores lie in {span} and are taken as logits as they stand: {why}"
