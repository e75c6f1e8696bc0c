"""One score an image where there are two classes."""

from __future__ import annotations

import torch
from torch import Tensor

from ltbench.errors import InputError


def two_class_logits(scores: Tensor, where: str) -> tuple[Tensor, str]:
    """``(N,)`` scores of class 1 to ``(N, 2)`` logits, and a line that says what they were taken for.

    All within [0, 1]: probabilities p, which give (log(1 - p), log p). Otherwise logits z, the log of
    the odds of class 1, which give (0, z). Raises :class:`InputError` for predicted classes (0 and 1
    alone) and for scores from 0 to 100, of which the range does not tell which they are.
    """
    z = scores.double().reshape(-1)
    if torch.isnan(z).any() or torch.isinf(z).any():
        place = int((torch.isnan(z) | torch.isinf(z)).nonzero()[0])
        raise InputError(f"{where}: the score of image {place} is NaN or infinite")
    if bool((z == z.round()).all()):
        raise InputError(
            f"{where} holds whole numbers, one an image: predicted classes, not scores; give (N, C) "
            "logits, or of two classes the probability or logit of class 1"
        )
    low, high = z.min().item(), z.max().item()
    if low >= 0 and high <= 1:
        return (
            torch.stack([torch.log1p(-z), torch.log(z)], dim=1),
            f"the scores lie in {low:.3g} to {high:.3g} and are taken as probabilities of class 1 of two",
        )
    if low >= 0 and high <= 100:
        raise InputError(
            f"{where} holds one score an image from {low:.3g} to {high:.3g}: logits or per cent cannot "
            "be told apart; give probabilities in 0 to 1 or the two logits of each image"
        )
    return (
        torch.stack([torch.zeros_like(z), z], dim=1),
        f"the scores lie in {low:.3g} to {high:.3g} and are taken as logits of class 1 of two "
        "(log odds; class 0 has 0)",
    )
