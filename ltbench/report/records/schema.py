"""Records as the report sees them: what docs/records.md holds, checked and typed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import msgspec

from ltbench.report.records.bias import BiasEstimate
from ltbench.report.records.carried import CarriedPrior
from ltbench.report.records.encoder import PretrainedEncoder
from ltbench.trial.asked_code import Code
from ltbench.trial.class_arrays import ArraysFile, ClassArrays

GROUPS = ("many", "medium", "few")
EVERY_IMAGE = ("uniform", "natural", "partial")
"""Kinds of sets that hold every image of their classes, unless those differ in size."""


PerCent = Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]
Positive = Annotated[float, msgspec.Meta(ge=0.0)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class PriorError(msgspec.Struct, frozen=True):
    """How far an estimated prior is from the true one: L1 distance, KL divergence in nats."""

    l1: Positive
    kl: Positive | None = None
    """None is infinite, which JSON lacks: a class that is there was ruled out."""


class ExactScore(msgspec.Struct, frozen=True):
    """Prior-reweighted accuracy on the full test set and its standard error, in per cent."""

    top1: PerCent
    se: Positive


class Diagnostics(msgspec.Struct, frozen=True):
    """Of what a strategy says of its own work, the parts that a reader of a table must know.

    Diagnostics are free-form: only plain ``true``, ``false`` and numbers mean something here.
    """

    converged: Any = None
    failed: Any = None
    calibrated: Any = None
    clipped: Any = None
    rank: Any = None
    at_limit: Any = None
    chosen: Any = None


class Draw(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Scores on one drawn test set, as in the record; accuracies in per cent."""

    number: int = -1
    """The key in the record."""
    n: Count
    top1: PerCent
    macro: PerCent | None = None
    nll: float | None = None
    """Infinite where the record has null (a class that is there was ruled out); None: no key."""
    ece: PerCent | None = None
    brier: Positive | None = None
    """Like ``top5``, None in records of before there was one."""
    top5: PerCent | None = None
    expert_top1: tuple[PerCent, ...] | None = None
    expert_weights: tuple[Positive, ...] | None = None
    prior: tuple[Positive, ...] | None = None
    """Of draw 0 alone, rounded, since records are light; before that of every draw."""
    prior_groups: dict[str, Positive] | None = None
    """Its sums over the class groups, in per cent; older records have the prior itself."""
    prior_error: PriorError | None = None
    exact: ExactScore | None = None
    diagnostics: Diagnostics | None = None

    def same_scores(self, other: Draw) -> bool:
        """Exact scores are not compared: older records lack them. Priors are by their errors, where
        both have them: a light record holds one of ten."""
        errors = (self.prior_error, other.prior_error)
        if None not in errors and errors[0] != errors[1]:
            return False
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    @property
    def prior_l1(self) -> float | None:
        return self.prior_error.l1 if self.prior_error else None

    @property
    def prior_kl(self) -> float | None:
        if self.prior_error is None:
            return None
        return math.inf if self.prior_error.kl is None else self.prior_error.kl

    @property
    def exact_top1(self) -> float | None:
        return self.exact.top1 if self.exact else None

    @property
    def exact_se(self) -> float | None:
        return self.exact.se if self.exact else None


_COMPARED = (
    "number", "n", "top1", "macro", "nll", "ece", "expert_top1", "expert_weights",
)  # fmt: skip


@dataclass(frozen=True)
class Recalls:
    """Per-class recall and its mean per group; ``None`` where there is no class or no image."""

    per_class: tuple[float | None, ...]
    groups: Mapping[str, float | None]


@dataclass(frozen=True)
class Distribution:
    """One test label distribution with its draws; recalls where it is the uniform set."""

    name: str
    kind: str
    ratio: float | None
    definition: str
    draws: tuple[Draw, ...]
    recalls: Recalls | None
    experts: tuple[Recalls, ...]
    counts: tuple[int, ...] | None = None
    """Test images per class of each draw, where the definition or what stands beside it tells."""
    found: tuple[int, ...] | None = None
    """Images per class as found, where they stand beside the definition."""
    correct: str = ""
    """Base64 of the packed correct/wrong bits of draw 0, in the order of the draw."""
    labels: str = ""
    """Of the uniform set: base64 of the compressed classes of the images, in the same order."""
    agreement: tuple[Mapping[str, float | None], ...] = ()
    """Per expert, how alike its predictions on two views are, by group; empty if not measured."""
    file: ArraysFile | None = field(default=None, compare=False, repr=False)
    """What is told by class lies there; None where the record has no such file."""

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Of the draws; kept like the next, since tables pair draws tens of thousands of times."""
        return tuple([draw.number for draw in self.draws])

    @cached_property
    def top1s(self) -> tuple[float, ...]:
        """Top-1 accuracy of each draw, in per cent."""
        return tuple([draw.top1 for draw in self.draws])

    @cached_property
    def top1(self) -> float:
        """The mean over draws."""
        return math.fsum(self.top1s) / len(self.top1s)

    def by_class(self, classes: int) -> ClassArrays | None:
        """Counts and scores by class; None where they are not stored or not of these draws."""
        if self.file is None:
            return None
        return self.file.of(self.name, self.definition, len(self.draws), classes)

    @property
    def drawn(self) -> bool:
        """Whether its images are drawn class by class: shifted sets, and those made uniform."""
        return self.kind not in EVERY_IMAGE or self.pool is not None

    @property
    def pool(self) -> tuple[int, ...] | None:
        """Images per class as found, where a uniform or partial set draws equally many of each."""
        if self.found is not None:
            return self.found
        found = json.loads(self.definition).get("as_found")
        return None if not isinstance(found, list) else tuple(found)

    def same_scores(self, other: Distribution) -> bool:
        return len(self.draws) == len(other.draws) and all(
            mine.same_scores(theirs) for mine, theirs in zip(self.draws, other.draws, strict=True)
        )


@dataclass(frozen=True)
class ProtocolName:
    """Which rules a record was made under; ``variant`` names what was overridden."""

    name: str
    version: str
    title: str
    variant: str


@dataclass(frozen=True)
class Training:
    """What was trained: two trials differ only in their seed where all of this is equal.

    ``version`` and ``origin`` are empty, ``digest`` is None where the record does not tell them; the
    same code from elsewhere is the same training.
    """

    name: str
    hyper: str
    version: str
    origin: str = field(compare=False)
    digest: str | None = None

    def matches(self, other: Training) -> bool:
        """Equal in all that both records tell: that of a failed trial may tell less, or more."""
        mine, theirs = json.loads(self.hyper), json.loads(other.hyper)
        return (
            self.name == other.name
            and all(mine[key] == theirs[key] for key in mine.keys() & theirs.keys())
            and (self.version == other.version or not (self.version and other.version))
            and (self.digest == other.digest or None in (self.digest, other.digest))
            and (self.origin == "imported") == (other.origin == "imported")
        )


@dataclass(frozen=True)
class Cost:
    """What a training took; ``None`` where the record does not tell."""

    training_seconds: float | None = None
    inference_seconds: float | None = None
    images_per_second: float | None = None
    epochs: int | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Trial:
    """A finished training."""

    trial: str
    protocol: ProtocolName
    training: Training
    seed: int
    created: str
    device: str
    torch: str
    rules: str
    """The data, training-set and model part of its identity; empty where the record has none."""
    source: str = ""
    """Which data set; empty where the record does not tell."""
    ltbench: str = ""
    cost: Cost = Cost()
    member_trials: tuple[str, ...] = ()
    """Of an ensemble: the trials of its networks; none for one network."""
    member_codes: tuple[Code, ...] = ()
    """Of an ensemble: the code that its members stand on; none for imports and for one network."""
    carried: CarriedPrior | None = None
    """The prior that its logits were measured to carry; None where the record does not tell."""
    encoder: PretrainedEncoder | None = None
    """What made the frozen features it was trained on; None for images."""
    images_fingerprint: str = ""
    """Of the training images that these features were made of; empty for images, or untold."""
    arithmetic: str = ""
    """What float32 meant where it was trained; empty where the record does not tell."""
    speed: tuple[str, ...] = ()
    """What made its training faster, as words of ``--speed``; empty also where the record does not tell."""

    @property
    def members(self) -> int:
        """Of an ensemble: how many networks; 0 for one network."""
        return len(self.member_trials)


@dataclass(frozen=True)
class Failure:
    """A training that did not finish; status: one of :data:`ltbench.trial.endings.ENDINGS`."""

    status: str
    protocol: ProtocolName
    training: Training
    seed: int
    error: str
    precision: str | None
    fingerprints: tuple[str, str] | None


@dataclass(frozen=True)
class Evaluation:
    """One row of a table on one trial."""

    evaluation: str
    trial: Trial
    protocol: ProtocolName
    seed: int
    method: str
    method_params: str
    strategy: str
    strategy_params: str
    label: str
    title: str
    uses_true_prior: bool
    mode: str
    train_fingerprint: str
    test_fingerprint: str
    recipe: str
    precision: str
    experts: int
    parameters: int | None
    train_counts: tuple[int, ...]
    rank: tuple[int, ...]
    class_names: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]]
    created: str
    versions: str
    distributions: tuple[Distribution, ...]
    macs: int | None = None
    """Multiply-accumulates of one image through the network."""
    seconds: float | None = None
    bias_kind: str = ""
    """Of the training posterior's bias: closed-form, fitted or reference; empty if untold."""
    bias: BiasEstimate | None = None
    first_draw_only: bool = False
    method_digest: str = ""
    """Of the evaluating method's code; empty for what ltbench ships."""
    strategy_digest: str = ""
    method_origin: str = ""
    strategy_origin: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Test sets that the images do not allow, and why."""
    content: str = ""
    """Digest of the file, and of what tells of another version of the arrays beside it."""
