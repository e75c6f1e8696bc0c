"""The contract of a method: what a training idea states, and nothing about loops or devices.

Logits are always ``(B, E, C)``: batch, experts, classes; a single-head method has ``E = 1``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

from ltbench.errors import InputError
from ltbench.fields import one_of, positive_number, true_or_false, whole_number
from ltbench.hyper import Hyper, Json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

H = TypeVar("H", bound=Hyper)

FAMILIES = ("loss", "sampling", "two-stage", "mixing", "experts", "contrastive", "sharpness")
"""What methods change: the loss, which images are seen, the stages, the images themselves, the number
of heads, the features, the update. ``ltbench list methods`` shows them in this order."""


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
    scale: above 0; read by the cosine head only.
    reduced: second and third stage at 3/4 of their width.

    Raises :class:`InputError`, one line that names the field, for any other value.
    """

    experts: int = 1
    head: Literal["linear", "cosine"] = "linear"
    scale: float = 30.0
    reduced: bool = False

    def __post_init__(self) -> None:
        whole_number("Architecture: experts", self.experts, at_least=1)
        one_of("Architecture: head", self.head, ("linear", "cosine"))
        positive_number("Architecture: scale", self.scale)
        true_or_false("Architecture: reduced", self.reduced)


@dataclass(frozen=True)
class Phase:
    """A part of training. The learning-rate schedule runs once over each phase.

    name: any text. share: fraction of the epochs, relative to the other phases; above 0.
    train: which weights learn, ``all`` or ``heads`` (the rest is frozen, BatchNorm included).
    sampler: ``instance`` (each image once an epoch) or ``class-balanced`` (classes equally likely,
    as many images an epoch).
    reset_heads: whether the heads start from fresh weights.

    Raises :class:`InputError`, one line that names the field, for any other value.
    """

    name: str = "train"
    share: float = 1.0
    train: Literal["all", "heads"] = "all"
    sampler: Literal["instance", "class-balanced"] = "instance"
    reset_heads: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"Phase: name = {self.name!r} must be a text, for example 'heads'")
        positive_number("Phase: share", self.share)
        one_of("Phase: train", self.train, ("all", "heads"))
        one_of("Phase: sampler", self.sampler, ("instance", "class-balanced"))
        true_or_false("Phase: reset_heads", self.reset_heads)


@dataclass(frozen=True)
class NoHyper(Hyper):
    """For methods and strategies without hyper-parameters."""


class Method(ABC, Generic[H]):
    """A way to train on long-tailed data; one file in ``methods/train`` or a third party's plugin.

    counts: ``(C,)`` training images per class, int64, on the device that trains (in evaluation on
    the CPU); whatever is made from them in ``__init__`` is on the right device by itself.

    A method is a rule, not a memory: ``loss`` and ``predict`` depend on their arguments, the counts
    and the hyper-parameters alone. What a call leaves behind (a counter, a running mean, a queue) is
    in no checkpoint, so that a resumed run would give other numbers; a weight of the method's own is
    in no optimiser. ``ltbench check`` finds both and ``ltbench run`` refuses them.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[Reference | None] = None
    hyper_type: ClassVar[type[Hyper]] = NoHyper
    strategy: ClassVar[str] = "none"
    """The test-time strategy of the method's own paper; a bare method name is evaluated with it."""
    family: ClassVar[str] = "loss"
    """Under which ``ltbench list`` shows it: one of ``FAMILIES``, or a word of its own. No number
    depends on it."""
    version: ClassVar[int] = 1
    """Raised when what training computes changes."""
    uses_class_order: ClassVar[bool] = False
    """Whether the numbers of the classes have a meaning here, as for groups of neighbouring classes.
    False: renumbering them changes nothing, which ``check`` tries."""

    def __init__(self, counts: Tensor, hyper: H) -> None:
        self.counts = counts
        self.hyper = hyper

    def training_identity(self) -> tuple[str, Mapping[str, Json]]:
        """Which registered method does the training, and its hyper-parameters, as JSON.

        Two rows with the same answer are evaluated on one trial. The default is the method itself. A
        post-hoc method, which differs in ``predict`` only, names the one whose trial it is evaluated
        on: ``return "ce", {}``. Loss and architecture must then be that method's.
        """
        return self.name, self.hyper.training_part()

    def architecture(self) -> Architecture:
        """The network that it asks for: one expert with a linear head unless it says otherwise."""
        return Architecture()

    def phases(self) -> tuple[Phase, ...]:
        """The stages of training in their order: one, all weights, each image once an epoch."""
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

        logits: ``(B, E, C)`` float32; targets: ``(B,)`` int64, both on the device that trains;
        progress: epoch / epochs in [0, 1). rng: for losses that sample, the only source of
        randomness; it lives on the CPU whatever the device, so that every device draws the same
        (``torch.rand(n, generator=rng).to(logits.device)``), and is seeded by seed and epoch, so that
        a resumed run draws the same. Returns a scalar ``()`` and changes none of its inputs.
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
