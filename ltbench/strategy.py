"""The contract of a test-time strategy: it sees unlabelled test outputs, never a label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from ltbench.errors import ContractError
from ltbench.hyper import Hyper, Json, asking_values
from ltbench.method import Method, NoHyper, Reference

if TYPE_CHECKING:
    import torch
    from torch import Tensor

H = TypeVar("H", bound=Hyper)
Need = Literal["views", "true_prior", "bias", "holdout", "network"]
Predicts = Literal["before", "after", "fixed"]


@dataclass(frozen=True)
class OptimizerSettings:
    """The SGD settings of the method's resolved recipe, which ``stability`` inherits as published."""

    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float


class UnlabelledTest:
    """The images of one test set, through what the network says about them.

    There is no label in here. ``views`` and ``true_prior`` are refused unless the strategy declared
    them in ``needs``; private attributes are nobody's to read.
    """

    def __init__(
        self,
        logits: Tensor,
        *,
        views: Callable[[int], Tensor] | None = None,
        pairs: int = 0,
        true_prior: Tensor | None = None,
        images: Callable[[], Tensor] | None = None,
    ) -> None:
        self.logits = logits
        """``(N, E, C)`` float32 logits of the clean images."""
        self.pairs = pairs
        """How many pairs of augmented views are stored."""
        self._views = views
        self._true_prior = true_prior
        self._images = images

    def views(self, k: int) -> Tensor:
        """``(2, N, E, C)`` logits of the k-th stored pair of augmented views, 0 <= k < pairs.

        float32; float16 where a pair would be larger than a gigabyte, so take ``.float()`` of a batch.
        """
        if self._views is None:
            raise ContractError("this strategy asked for views without declaring 'views' in needs")
        return self._views(k)

    @property
    def true_prior(self) -> Tensor:
        """``(C,)`` realised label frequencies of this test set; for oracles only."""
        if self._true_prior is None:
            raise ContractError(
                "this strategy asked for the true prior without declaring 'true_prior' in needs"
            )
        return self._true_prior

    @property
    def images(self) -> Tensor:
        """``(N, 3, H, W)`` uint8 test images; for strategies that need the network."""
        if self._images is None:
            raise ContractError(
                "this strategy asked for images without declaring 'network' in needs"
            )
        return self._images()


@dataclass(frozen=True)
class Source:
    """What is known from training when a strategy adapts.

    method: for ``predict`` and the training ``counts``.
    bias: ``(E, C)`` or None; bias_kind says how it is known: exact ("closed-form"), "fitted" on the
    hold-out with the standard error bias_error ``(E, C)``, or a "reference" taken as it is, which is
    unreliable. A strategy that does not declare ``bias`` is given an exact one or none.
    optimizer: the settings of the method's resolved recipe.
    holdout_logits ``(H, E, C)``, holdout_labels ``(H,)``: training images that were held out, not
    distributed like the training set; only where ``holdout`` is declared.
    network: a private copy, fresh for every test set, in evaluation mode; it takes uint8 images
    ``(B, 3, H, W)`` and returns logits ``(B, E, C)``; only where ``network`` is declared.
    """

    method: Method[Any]
    bias: Tensor | None
    bias_kind: Literal["closed-form", "fitted", "reference", "none"]
    optimizer: OptimizerSettings
    bias_error: Tensor | None = None
    holdout_logits: Tensor | None = None
    holdout_labels: Tensor | None = None
    network: torch.nn.Module | None = None


@dataclass(frozen=True)
class Adapted:
    """What adaptation returned.

    logits: ``(N, C)`` scores for exactly the images adapted on, in their order.
    frozen: ``(N, E, C) -> (N, C)``, what was learnt as a predictor of logits: it may be applied to
    other images, one by one or many at once, and gives the same scores for those adapted on. None
    where the outcome is no function of an image's logits. From it the exact accuracy under any prior
    is computed, and :class:`ltbench.session.Accumulating` needs it.
    expert_weights: ``(E,)``, sums to 1. prior: ``(C,)`` estimated label distribution.
    diagnostics: small JSON-serialisable facts. The report tells its readers of ``converged`` False
    and ``failed`` True.
    """

    logits: Tensor
    frozen: Callable[[Tensor], Tensor] | None = None
    expert_weights: Tensor | None = None
    prior: Tensor | None = None
    diagnostics: Mapping[str, Json] = field(default_factory=dict)


class Session(ABC):
    """An online adaptation: batches come one after another and state is carried along.

    One session meets one stream. What it knows are the batches so far: nothing of later ones, and
    no label. ``batch.views(0)`` is a pair of views of the batch's own images; ``batch.true_prior``,
    where declared, the frequencies of the whole stream, the same for every batch.
    """

    predicts: ClassVar[Predicts]
    """When a batch is predicted: before the session adapts on it (no prediction depends on an image
    of the same batch), after it, or ``fixed`` where no prediction depends on any other image."""

    @abstractmethod
    def step(self, batch: UnlabelledTest) -> Tensor:
        """Predicts one batch, ``(B, C)``, and adapts, in the order that ``predicts`` declares."""


class Strategy(ABC, Generic[H]):
    """A way to adapt to an unknown test label distribution; one file in ``methods/adapt``.

    One instance adapts to many test sets, in any order and with some left out that are known already:
    nothing may be remembered from one :meth:`adapt` to the next. State belongs into a :class:`Session`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[Reference | None] = None
    hyper_type: ClassVar[type[Hyper]] = NoHyper
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it is given beyond logits: ``views`` (``test.views``), ``true_prior`` (``test.true_prior``;
    marks the row as one that knows it), ``bias`` (``source.bias``, if need be an estimate), ``holdout``
    (labelled held-out training images), ``network`` (``source.network`` and ``test.images``; draw 0
    only). Each is refused where it is not declared. A setting may ask for more:
    ``setting("none", choices=("none", "holdout"), needs={"holdout": "holdout"})``."""
    min_experts: ClassVar[int] = 1
    max_classes: ClassVar[int | None] = None
    """Above it no plan has the row: for what builds a table of classes by classes."""
    tried_with: ClassVar[Mapping[str, Any]] = {}
    """Settings by which the contract is tried, where the default ones take seconds on 40 images."""
    uses_predict: ClassVar[bool] = True
    """Whether the outcome may depend on the method's ``predict``. False: on logits and bias alone,
    so that a post-hoc method and the method it is trained as give the same row, kept once."""
    uses_class_order: ClassVar[bool] = False
    """Whether the numbers of the classes have a meaning here; else renumbering changes nothing."""
    version: ClassVar[int] = 1

    def __init__(self, hyper: H) -> None:
        self.hyper = hyper

    @classmethod
    def needs_with(cls, hyper: Hyper) -> frozenset[Need]:
        """``needs``, and what the values of the settings ask for beyond them."""
        asked: list[Any] = [
            found.need
            for found in asking_values(type(hyper))
            if getattr(hyper, found.setting) == found.value
        ]
        return cls.needs | frozenset(asked)

    @property
    def all_needs(self) -> frozenset[Need]:
        """:meth:`needs_with` the settings that this strategy has."""
        return self.needs_with(self.hyper)

    @abstractmethod
    def adapt(self, test: UnlabelledTest, source: Source, rng: torch.Generator) -> Adapted:
        """Adapts to ``test`` and predicts it.

        rng: the only source of randomness, a CPU generator seeded by seed, strategy, test set and
        draw. Everything else is on the CPU, too, but a network, which may be on another device; it
        takes images from the CPU.
        """

    def session(self, source: Source, rng: torch.Generator) -> Session | None:
        """A fresh online session, or None where the strategy works on whole test sets only.

        ``ltbench run --arrival batch:64`` calls it once for each stream. A strategy on logits alone
        may return :class:`ltbench.session.Accumulating`.
        """
        return None
