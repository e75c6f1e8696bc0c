"""What a user brings: logits, labels, counts, a bias; checked before anything is computed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.imported.arrays import read_array
from ltbench.imported.in_memory import Source, source_name


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
    """Reads and checks files, or arrays in memory.

    Raises :class:`InputError` with one line for whatever is wrong.
    """
    scores = _logits(read_array(logits, "logits"), source_name("logits", logits))
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
    )


def _logits(array: Tensor, where: str) -> Tensor:
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
    bad = ~torch.isfinite(scores).all(dim=2).all(dim=1)
    if bad.any():
        place = int(bad.nonzero()[0])
        raise InputError(
            f"{where}: the logits of image {place} are NaN or infinite ({int(bad.sum())} such "
            "images); expected finite float32 numbers"
        )
    if _look_like_probabilities(scores):
        raise InputError(
            f"{where} holds probabilities (from 0 to 1, each row sums to 1); give the logits, or "
            "the logarithm of the probabilities"
        )
    return scores


def _look_like_probabilities(scores: Tensor) -> bool:
    sums = scores.sum(dim=2)
    return bool((scores >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())


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
