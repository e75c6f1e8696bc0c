"""What a finished training leaves for evaluation: logits, labels, hold-out, and the bias of its network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ltbench.hyper import Json
from ltbench.shift.testsets import TestSet
from ltbench.task import Task
from ltbench.trial.trial import Trial

BiasKind = Literal["closed-form", "fitted", "reference", "none"]


@dataclass(frozen=True)
class HoldOut:
    """Held-out training images: logits ``(H, E, C)`` and labels ``(H,)`` int64."""

    logits: Tensor
    labels: Tensor


@dataclass(frozen=True)
class KnownBias:
    """The bias ``(E, C)`` of a method on a trial, and how it is known.

    error ``(E, C)``, kappa and kappa_error ``(E,)``: of :func:`ltbench.evaluate.bias_fit.fit_bias`.
    """

    kind: BiasKind
    value: Tensor | None = None
    error: Tensor | None = None
    kappa: Tensor | None = None
    kappa_error: Tensor | None = None

    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.value, self.error, self.kappa, self.kappa_error

    def to_json(self) -> dict[str, Json]:
        """The ``bias`` block of a record; the values are told only where they are an estimate."""
        block: dict[str, Json] = {"kind": self.kind}
        if self.kind == "closed-form":
            return block
        for name in ("value", "error", "kappa", "kappa_error"):
            tensor: Tensor | None = getattr(self, name)
            block[name] = None if tensor is None else tensor.double().tolist()
        return block


@dataclass(frozen=True)
class TrialOutputs:
    """What a finished training leaves for evaluation.

    logits: ``(N, E, C)`` of all test images; shifted_logits: the same for forward and backward sets,
    other than ``logits`` only in the mode ``augmented``; views: pair k to ``(2, N, E, C)``, called
    only by strategies that need views; labels: ``(N,)``. Nothing of the labels reaches a strategy.
    holdout: labelled training images that training left out; network: gives a fresh private copy;
    images: indices ``(B,)`` to uint8 test images ``(B, 3, H, W)``. None where there is none.
    """

    trial: Trial
    task: Task
    logits: Tensor
    shifted_logits: Tensor
    labels: Tensor
    views: Callable[[int], Tensor]
    indices: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    holdout: HoldOut | None = None
    network: Callable[[], nn.Module] | None = None
    images: Callable[[Tensor], Tensor] | None = None
    pairs: int | None = None
    """How many pairs of views there are; None: as many as the protocol says."""
    biases: dict[str, KnownBias] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(experts, classes)."""
        return self.logits.shape[1], self.logits.shape[2]

    def logits_for(self, test_set: TestSet) -> Tensor:
        shifted = test_set.kind in ("forward", "backward")
        return self.shifted_logits if shifted else self.logits

    def indices_of(self, test_set: TestSet, draw: int) -> Tensor:
        """Indices of a draw, computed once for all rows: every method meets the same images."""
        key = (test_set.name, draw)
        if key not in self.indices:
            chosen = test_set.indices(self.labels.numpy(), draw)
            self.indices[key] = torch.from_numpy(chosen)
        return self.indices[key]
