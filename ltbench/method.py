"""The contract of a method: what a training idea states, and nothing about loops or devices.

Logits are always ``(B, E, C)``: batch, experts, classes; a single-head method has ``E = 1``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from ltbench.errors import InputError
from ltbench.hyper import Hyper, Json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

H = TypeVar("H", bound=Hyper)


@dataclass(frozen=True)
class Reference:
    """Where a method comes from, and the settings its own paper or code trains it with.

    ``settings`` maps ``recipe.<name>`` or a hyper-parameter to the published value on CIFAR-100-LT;
    ``ltbench show`` prints where a protocol departs from it.
    """

    authors: str
    title: str
    venue: str
    year: int
    url: str
    settings: Mapping[str, Json] = field(default_factory=dict)
    settings_source: str = ""


@dataclass(frozen=True)
class Architecture:
    """A request for a network; ltbench builds it from the protocol's backbone.

    experts: number of experts E; from 2 on they share the stem and the first stage.
    head: ``linear`` (with bias) or ``cosine`` (both sides L2-normalised, times ``scale``).
    reduced: second and third stage at 3/4 of their width.
    """

    experts: int = 1
    head: Literal["linear", "cosine"] = "linear"
    scale: float = 30.0
    reduced: bool = False

    def __post_init__(self) -> None:
        if self.experts < 1:
            raise InputError(f"experts = {self.experts} must be at least 1")
        if self.head not in ("linear", "cosine"):
            raise InputError(f"head = {self.head!r} must be linear or cosine")


@dataclass(frozen=True)
class Phase:
    """A part of training. The learning-rate schedule runs once over each phase.

    share: fraction of the epochs, relative to the other phases.
    train: which weights learn, ``all`` or ``heads`` (the rest is frozen, BatchNorm included).
    sampler: ``instance`` (each image once an epoch) or ``class-balanced`` (classes equally likely,
    as many images an epoch).
    reset_heads: whether the heads start from fresh weights.
    """

    name: str = "train"
    share: float = 1.0
    train: Literal["all", "heads"] = "all"
    sampler: Literal["instance", "class-balanced"] = "instance"
    reset_heads: bool = False


@dataclass(frozen=True)
class NoHyper(Hyper):
    """For methods and strategies without hyper-parameters."""


class Method(ABC, Generic[H]):
    """A way to train on long-tailed data; one file in ``methods/train`` or a third party's plugin.

    counts: ``(C,)`` training images per class, int64, on the device that trains.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[Reference | None] = None
    hyper_type: ClassVar[type[Hyper]] = NoHyper
    strategy: ClassVar[str] = "none"
    """The test-time strategy of the method's own paper; a bare method name is evaluated with it."""
    version: ClassVar[int] = 1
    """Raised when what training computes changes."""

    def __init__(self, counts: Tensor, hyper: H) -> None:
        self.counts = counts
        self.hyper = hyper

    def training_identity(self) -> tuple[str, Mapping[str, Json]]:
        """Which registered method does the training, and its hyper-parameters.

        A post-hoc method names the one whose trial it is evaluated on.
        """
        return self.name, self.hyper.training_part()

    def architecture(self) -> Architecture:
        return Architecture()

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(),)

    @abstractmethod
    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """The training loss.

        logits: ``(B, E, C)`` float32; targets: ``(B,)`` int64; progress: epoch / epochs in [0, 1);
        rng: a seeded generator for losses that sample. Returns a scalar ``()``.
        """

    def loss_stage(self, progress: float) -> Hashable:
        """What the loss takes from ``progress``: where two values agree, the losses are the same.

        A recorded training step stays valid while it does not change. The default is always right;
        a method whose loss ignores ``progress``, or knows a few stages, says so and trains faster
        on a GPU.
        """
        return progress

    def predict(self, logits: Tensor) -> Tensor:
        """``(B, E, C)`` logits to the ``(B, C)`` scores whose argmax is the prediction: the mean."""
        return logits.mean(dim=1)

    def bias(self) -> Tensor | None:
        """``(E, C)``: expert e was trained by cross-entropy on ``z_e + bias[e]``.

        Then softmax(z_e + bias[e]) is the posterior under the training prior. None where no closed
        form exists.
        """
        return None

    def reference_bias(self) -> Tensor | None:
        """``(E, C)``: where to start fitting a bias when :meth:`bias` is None."""
        return None


def log_prior(counts: Tensor) -> Tensor:
    """``log(n_j / sum n)`` of the class counts ``(C,)``, float32, natural logarithm."""
    return (counts.double() / counts.sum()).log().float()
