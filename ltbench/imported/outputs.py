"""What a user brings: logits, labels, counts, bias, hold-out, views; checked before any work."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.evaluate.outputs import HoldOut
from ltbench.imported.arrays import read_array
from ltbench.imported.class_names import Names, read_labels, whole_numbers
from ltbench.imported.in_memory import Source, source_name
from ltbench.imported.scores import checked_logits, doubtful_range
from ltbench.imported.two_classes import two_class_logits


@dataclass(frozen=True)
class ModelOutputs:
    """A model's outputs on its test images.

    logits: ``(N, E, C)`` float32; labels: ``(N,)`` int64 in 0..C-1; counts: ``(C,)`` int64 training
    images per class, or None where the protocol tells them; bias: ``(E, C)`` float32 such that
    softmax(z_e + bias[e]) is the posterior under the training prior, or None where it is unknown.
    holdout: labelled training images that the model was not trained on; views: ``(V, N, E, C)``
    logits of V augmented views of each test image, views 2k and 2k + 1 the k-th pair.
    """

    logits: Tensor
    labels: Tensor
    counts: Tensor | None
    bias: Tensor | None
    floor: float | None = None
    """The log-probability that minus infinities were read as; None where there was none."""
    names: Names | None = None
    """Of the classes, in the order of the logits; None where nobody told them."""
    labels_named: bool = False
    """Whether the labels were told as names, which have one meaning in any order."""
    holdout: HoldOut | None = None
    holdout_named: bool = False
    views: Tensor | None = None
    notes: tuple[str, ...] = ()
    """What was decided while reading, a line each."""

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array's shape and bytes, and of the names of the classes."""
        held = self.holdout
        arrays = {
            "logits": self.logits,
            "labels": self.labels,
            "counts": self.counts,
            "bias": self.bias,
            "holdout_logits": None if held is None else held.logits,
            "holdout_labels": None if held is None else held.labels,
            "view_logits": self.views,
        }
        found = {name: _digest(array) for name, array in arrays.items() if array is not None}
        if self.names is not None:
            found["classes"] = hashlib.sha256(json.dumps(self.names).encode()).hexdigest()
        return found

    def with_columns(self, order: list[int]) -> ModelOutputs:
        """The same with column ``order[c]`` as class c: scores, labels and whatever is one a class."""
        chosen = torch.tensor(order)
        place = torch.empty_like(chosen)
        place[chosen] = torch.arange(len(order))
        held = self.holdout
        return replace(
            self,
            logits=self.logits[..., chosen].contiguous(),
            labels=place[self.labels],
            counts=None if self.counts is None else self.counts[chosen],
            bias=None if self.bias is None else self.bias[:, chosen].contiguous(),
            names=None if self.names is None else tuple(self.names[c] for c in order),
            holdout=held and HoldOut(held.logits[..., chosen].contiguous(), place[held.labels]),
            views=None if self.views is None else self.views[..., chosen].contiguous(),
        )


@dataclass(frozen=True)
class Extras:
    """What a model may bring beside its test logits and labels, each a file or an array.

    views: ``(V, N, C)``, ``(N, V, C)`` or with experts ``(V, N, E, C)``, ``(N, V, E, C)``, V even.
    """

    counts: Source | None = None
    bias: Source | None = None
    holdout_logits: Source | None = None
    holdout_labels: Source | None = None
    views: Source | None = None


def read_outputs(
    logits: Source,
    labels: Source,
    counts: Source | None = None,
    bias: Source | None = None,
    *,
    names: Names | None = None,
    extras: Extras | None = None,
) -> ModelOutputs:
    """Reads and checks files or arrays in memory. names: of the classes, in the order of the logits.

    Raises :class:`InputError` with one line for whatever is wrong.
    """
    where = source_name("logits", logits)
    scores, floor, notes = _logits(logits, "logits")
    classes = scores.shape[2]
    if names is not None and len(names) != classes:
        raise InputError(f"--classes names {len(names)} classes, {where} has {classes}")
    truth, named = read_labels(labels, names)
    check_labels(truth, len(scores), classes, source_name("labels", labels))
    outputs = ModelOutputs(scores, truth, None, None, floor, names, labels_named=named, notes=notes)
    return with_extras(outputs, extras or Extras(counts, bias))


def with_extras(outputs: ModelOutputs, extras: Extras) -> ModelOutputs:
    """``outputs`` with what else the model brings. Raises :class:`InputError`."""
    n, experts, classes = outputs.logits.shape
    held, named = _holdout(extras, outputs)
    return replace(
        outputs,
        counts=None if extras.counts is None else _counts(extras.counts, classes),
        bias=None if extras.bias is None else _bias(extras.bias, experts, classes),
        holdout=held,
        holdout_named=named,
        views=None if extras.views is None else _views(extras.views, n, experts, classes),
    )


def check_labels(labels: Tensor, n: int, classes: int, where: str) -> None:
    """Raises :class:`InputError` where they are not ``n`` of ``classes``."""
    if len(labels) != n:
        raise InputError(f"{where} has {len(labels)} labels, the logits have {n} images")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        place = int(outside.nonzero()[0])
        raise InputError(
            f"{where}: label {int(labels[place])} of image {place} is outside "
            f"0..{classes - 1} (the logits have {classes} classes)"
        )


def _logits(source: Source, what: str) -> tuple[Tensor, float | None, tuple[str, ...]]:
    """``(N, E, C)`` scores, what minus infinity became, and what was decided."""
    where = source_name(what, source)
    array = read_array(source, what)
    if array.dtype != torch.bool and (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        pair, note = two_class_logits(array, where)
        return (*checked_logits(pair, where), (note,))
    scores, floor = checked_logits(array, where)
    doubt = doubtful_range(scores)
    return scores, floor, () if doubt is None else (doubt,)


def _holdout(extras: Extras, outputs: ModelOutputs) -> tuple[HoldOut | None, bool]:
    logits, labels = extras.holdout_logits, extras.holdout_labels
    if logits is None and labels is None:
        return None, False
    if logits is None or labels is None:
        missing = "--holdout-logits" if logits is None else "--holdout-labels"
        raise InputError(f"{missing} FILE is missing: a hold-out is logits and labels together")
    where = source_name("holdout_logits", logits)
    scores, _, _ = _logits(logits, "holdout_logits")
    _, experts, classes = outputs.logits.shape
    if scores.shape[1:] != (experts, classes):
        raise InputError(
            f"{where} has {scores.shape[1]} experts and {scores.shape[2]} classes, the logits have "
            f"{experts} and {classes}"
        )
    truth, named = read_labels(labels, outputs.names, "holdout_labels")
    place = source_name("holdout_labels", labels)
    if len(truth) != len(scores):
        raise InputError(f"{place} has {len(truth)} labels, {where} has {len(scores)} images")
    check_labels(truth, len(scores), classes, place)
    return HoldOut(scores, truth), named


def _views(source: Source, n: int, experts: int, classes: int) -> Tensor:
    """``(V, N, E, C)``: views first where both axes fit."""
    where = source_name("view_logits", source)
    array = read_array(source, "view_logits")
    if array.ndim == 3 and experts == 1:
        array = array[:, :, None]
    if array.ndim == 4 and array.shape[1] != n and array.shape[0] == n:
        array = array.transpose(0, 1)
    views = array.shape[0]
    if array.ndim != 4 or array.shape[1:] != (n, experts, classes) or views < 2 or views % 2:
        raise InputError(
            f"{where} has shape {tuple(read_array(source, 'view_logits').shape)}; expected "
            f"(V, {n}, {f'{experts}, ' * (experts > 1)}{classes}) or ({n}, V, "
            f"{f'{experts}, ' * (experts > 1)}{classes}), V views of each test image, an even number"
        )
    return torch.stack(
        [checked_logits(view, f"{where}: view {v}")[0] for v, view in enumerate(array)]
    )


def _counts(path: Source, classes: int) -> Tensor:
    where = source_name("counts", path)
    counts = whole_numbers(read_array(path, "counts"), where)
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
