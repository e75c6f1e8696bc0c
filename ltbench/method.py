"""The contract of a method: what a training idea states, and nothing about loops or devices.

Logits are always ``(B, E, C)``: batch, experts, classes; a single-head method has ``E = 1``.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ltbench.hyper import Hyper, Json
from ltbench.request import Architecture as Architecture
from ltbench.request import Parent as Parent
from ltbench.request import Phase as Phase
from ltbench.seen import Images as Images
from ltbench.seen import Network as Network
from ltbench.seen import Seen as Seen
from ltbench.seen import TrainingFeatures as TrainingFeatures

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

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
    needs_images: ClassVar[bool] = False
    """Whether it works on pixels, as one that pastes a part of an image into another; then frozen
    features are nothing it could be trained on."""
    needs_text: ClassVar[bool] = False
    """Whether :meth:`finish` stands on features of the class names, which only some folders of frozen
    features have. Then :meth:`phases` may be ``()`` without a parent."""
    uses_class_order: ClassVar[bool] = False
    """Whether the numbers of the classes have a meaning here, as for groups of neighbouring classes.
    False: renumbering them changes nothing, which ``check`` tries."""

    extra: nn.Module | None = None
    """While training: what :meth:`build` returned."""
    teacher: nn.Module | None = None
    """While training: the network of a parent that is a teacher."""

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
        """The stages of training in their order: one, all weights, each image once an epoch.

        None, ``()``, where the network of a parent is taken as it is, but for what :meth:`finish` does;
        and where that makes all of it from features of the class names (:attr:`needs_text`).
        """
        return (Phase(),)

    def parent(self) -> Parent | None:
        """The trial that this one starts from or learns from; None: it starts from fresh weights."""
        return None

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        progress: float,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """The training loss.

        logits: ``(B, E, C)`` float32; targets: ``(B,)`` int64, or ``(B, C)`` rows that sum to 1 where
        :meth:`mix` makes such, both on the device that trains; progress: epoch / epochs in [0, 1).
        rng: for losses that sample and do not :meth:`draw`, the only source of randomness; it lives on
        the CPU whatever the device, so that every device draws the same
        (``torch.rand(n, generator=rng).to(logits.device)``), and is seeded by seed and epoch, so that
        a resumed run draws the same. Returns a scalar ``()`` and changes none of its inputs.
        Only a method whose :meth:`objective` does not call it, or one without phases, may do without.
        """
        raise NotImplementedError(f"method {self.name!r} has no loss of logits alone")

    def objective(self, seen: Seen) -> Tensor:
        """The loss ``()``, given everything that a step knows: all views, features, positions, draws.

        By default ``loss`` of the first view. No shape may depend on data, and nothing may wait for
        the device, so that the step can be recorded.
        """
        return self.loss(seen.logits[0], seen.targets, progress=seen.progress, rng=seen.rng)

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        """All random numbers of a step of ``batch`` images, drawn outside it on the CPU.

        :meth:`mix` and :meth:`objective` are given them on the device that trains. A recorded step
        stays one: it reads other numbers. ``rng`` is seeded by seed and epoch. Number, shapes and
        types of the tensors depend on ``batch`` alone.
        """
        return ()

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        """What the network sees instead of ``first``: pixels of its shape, targets ``(B,)`` or ``(B, C)``.

        Of V views it may keep the first few: what only a momentum copy is to look at costs no pass.
        second: the batch of the phase's second stream, each image in its first view, or ``first``
        itself where the phase has none. Changes neither. What else :meth:`objective` has to know of the
        images goes along as ``notes``, never on ``self``.
        """
        return first

    def build(self, network: Network) -> nn.Module | None:
        """Before training: may replace heads (``network.set_head(e, module)``, features ``(B, D)`` to
        logits ``(B, C)``); what it returns is trained, stored and restored beside the network.

        A parameter of it with ``requires_grad=False`` stays as it is but for :meth:`after_step`.
        Predictions keep what sits in the network only. Random numbers: torch's global generator,
        which is seeded here by the trial's seed. Called again wherever the network is loaded, so that
        it depends on counts and hyper-parameters alone.
        """
        return None

    def after_step(self, network: Network, seen: Seen) -> None:
        """After the update, without gradients: moves buffers of ``network`` and ``self.extra`` in place.

        For running means, momentum copies, queues, projections. ``seen`` is the last of the step.
        """

    def finish(self, network: Network, training: TrainingFeatures) -> None:
        """After the last epoch, without gradients: sets weights and buffers of ``network`` in place.

        training: the features of the un-augmented training images. It makes no module: that is what
        :meth:`build` is for, so that the weights can be loaded again.
        """

    def advance(self, descend: Callable[..., Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        """One update; returns the loss to report.

        ``descend()`` clears the gradients, runs the batch through network and ``objective``, leaves
        its gradients and returns the loss ``()``. Called again it repeats the same images, views and
        draws with the weights as they are then; BatchNorm statistics move at each call.
        ``descend("tail")`` is the same with ``seen.part == "tail"``, for an ``objective`` whose parts
        go different ways; any name will do.
        """
        loss = descend()
        optimizer.step()
        return loss

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
        """``(E, C)``: softmax(z_e + bias[e]) is the posterior under the training prior pi.

        Where every image counts alike expert e was trained by cross-entropy on ``z_e + bias[e]``. Where
        classes are sampled by p(class) ~ n^q, that is the posterior under n^q, and (1 - q) log pi more
        is needed: log pi for plain cross-entropy with classes equally likely. None where no closed form
        exists.
        """
        return None

    def posterior(self, logits: Tensor) -> Tensor | None:
        """``(N, E, C)`` logits to log-posteriors under the training prior, ``(N, E, C)``, finite, up to a
        constant for each image and expert; None where it is not known.

        By default ``logits + bias``. A method whose logits carry the prior in another way (a scale a
        class, a loss that is not proper) says here how, and leaves :meth:`bias` at None. Strategies
        that declare ``bias`` then meet these log-posteriors as logits, with the bias 0.
        """
        bias = self.bias()
        return None if bias is None else logits + bias

    def reference_bias(self) -> Tensor | None:
        """``(E, C)``: where to start fitting a bias when :meth:`bias` is None."""
        return None


def log_prior(counts: Tensor) -> Tensor:
    """``log(n_j / sum n)`` of the class counts ``(C,)``, float32, natural logarithm."""
    return (counts.double() / counts.sum()).log().float()


def overrides(method: Method[Any], name: str) -> bool:
    """Whether ``method`` has an own :meth:`Method.<name>`, so that there is something to call.

    >>> overrides(Method, "mix")
    False
    """
    cls = method if isinstance(method, type) else type(method)
    return getattr(cls, name) is not getattr(Method, name)
