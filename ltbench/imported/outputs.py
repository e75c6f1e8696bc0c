"""What a user brings: logits, labels, counts, a bias; checked before anything is computed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.imported.arrays import read_array
from ltbench.imported.in_memory import Source, source_name
from ltbench.imported.probabilities import normalised_scores
from ltbench.imported.zeros import without_zeros


@dataclass(frozen=True)
class ModelOutputs:
    """A model's outputs on its test images.

    logits: ``(N, E, C)`` float32; labels: ``(N,)`` int64 in 0..C-1; counts: ``(C,)`` int64 training
    images per class, or None where the protocol tells them; bias: ``(E, C)`` float32 such that
    softmax(z_e + bias[e]) is the posterior under the training prior, or None where it is unknown.
    """

    logits: Tensor
    labels: Tensor
    counts: Tensor | None
    bias: Tensor | None
    floor: float | None = None
    """The log-probability that minus infinities were read as; None where there was none."""

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array's shape and bytes."""
        arrays = {
            "logits": self.logits,
            "labels": self.labels,
            "counts": self.counts,
            "bias": self.bias,
        }
        return {name: _digest(array) for name, array in arrays.items() if array is not None}


def read_outputs(
    logits: Source,
    labels: Source,
    counts: Source | None = None,
    bias: Source | None = None,
) -> ModelOutputs:
    """Reads and checks files or arrays in memory.

    Raises :class:`InputError` with one line for whatever is wrong.
    """
    scores, floor = _logits(read_array(logits, "logits"), source_name("logits", logits))
    n, experts, classes = scores.shape
    truth = _whole(read_array(labels, "labels"), source_name("labels", labels))
    if len(truth) != n:
        raise InputError(
            f"{source_name('labels', labels)} has {len(truth)} labels, the logits have {n} images"
        )
    outside = (truth < 0) | (truth >= classes)
    if outside.any():
        place = int(outside.nonzero()[0])
        raise InputError(
            f"{source_name('labels', labels)}: label {int(truth[place])} of image {place} is outside "
            f"0..{classes - 1} (the logits have {classes} classes)"
        )
    return ModelOutputs(
        logits=scores,
        labels=truth,
        counts=None if counts is None else _counts(counts, classes),
        bias=None if bias is None else _bias(bias, experts, classes),
        floor=floor,
    )


def _logits(array: Tensor, where: str) -> tuple[Tensor, float | None]:
    """``(N, E, C)`` finite float32 scores, and what minus infinities among them were read as."""
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
            f"{where} has shape {tuple(array.shape)}; expected (N, C) or (N, E, C) with C >= 2"
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


def _whole(array: Tensor, where: str) -> Tensor:
    if array.is_floating_point():
        rounded = array.round()
        if not bool(torch.isfinite(array).all()) or not torch.equal(rounded, array):
            raise InputError(f"{where} must hold whole numbers")
    array = array.squeeze(-1) if array.ndim == 2 else array
    if array.ndim != 1 or array.dtype == torch.bool:
        raise InputError(
            f"{where} has shape {tuple(array.shape)} of {array.dtype}; expected one whole number "
            "per image or class, in one row or column"
        )
    return array.long()


def _counts(path: Source, classes: int) -> Tensor:
    where = source_name("counts", path)
    counts = _whole(read_array(path, "counts"), where)
    if len(counts) != classes:
        raise InputError(f"{where} has {len(counts)} classes, the logits have {classes}")
    if (counts < 1).any():
        place = int((counts < 1).nonzero()[0])
        raise InputError(
            f"{where}: class {place} has {int(counts[place])} training images; each class needs one"
        )
    return counts


def _bias(path: Source, experts: int, classes: int) -> Tensor:
    where = source_name("bias", path)
    bias = read_array(path, "bias").float()
    if bias.shape not in ((classes,), (experts, classes)):
        raise InputError(
            f"{where} has shape {tuple(bias.shape)}; expected {(classes,)} or {(experts, classes)}"
        )
    if not torch.isfinite(bias).all():
        raise InputError(f"{where} has NaN or infinite values; expected finite numbers")
    return bias.expand(experts, classes).contiguous()


def _digest(array: Tensor) -> str:
    digest = hashlib.sha256(repr(tuple(array.shape)).encode())
    digest.update(array.contiguous().numpy().tobytes())
    return digest.hexdigest()
