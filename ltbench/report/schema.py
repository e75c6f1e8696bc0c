"""Records as the report sees them: what docs/records.md holds, checked and typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ltbench.report.bias import BiasEstimate

GROUPS = ("many", "medium", "few")


@dataclass(frozen=True)
class Draw:
    """Scores on one drawn test set; accuracies in per cent."""

    number: int
    n: int
    top1: float
    macro: float | None
    nll: float | None
    ece: float | None
    expert_top1: tuple[float, ...] | None
    expert_weights: tuple[float, ...] | None
    prior: tuple[float, ...] | None = None
    # Not compared: a record of before, without them, holds the same scores.
    prior_l1: float | None = field(default=None, compare=False)
    prior_kl: float | None = field(default=None, compare=False)
    """Infinite where a class that is there was ruled out."""
    exact_top1: float | None = field(default=None, compare=False)
    exact_se: float | None = field(default=None, compare=False)


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
    """Test images per class of each draw, where the definition tells."""
    correct: str = ""
    """Base64 of the packed correct/wrong bits of draw 0, in the order of the draw."""
    agreement: tuple[Mapping[str, float | None], ...] = ()
    """Per expert, how alike its predictions on two views are, by group; empty if not measured."""


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

    ``version`` and ``origin`` are empty where the record does not tell them.
    """

    name: str
    hyper: str
    version: str
    origin: str

    def matches(self, other: Training) -> bool:
        """Equal in all that both records tell: that of a failed trial may tell less, or more."""
        mine, theirs = json.loads(self.hyper), json.loads(other.hyper)
        return (
            self.name == other.name
            and all(mine[key] == theirs[key] for key in mine.keys() & theirs.keys())
            and (self.version == other.version or not (self.version and other.version))
            and (self.origin == other.origin or not (self.origin and other.origin))
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


@dataclass(frozen=True)
class Failure:
    """A training that did not finish: ``failed``, ``diverged`` or ``interrupted``."""

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
