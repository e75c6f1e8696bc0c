"""What a worker is told: one trial and the rows to evaluate on it, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ltbench.data.dataset import Splits
from ltbench.hyper import Hyper
from ltbench.protocol.protocol import VALIDATION, Protocol
from ltbench.registry import Plugin, Registries
from ltbench.resolve.rows import ResolvedRow, row_from_json
from ltbench.settings import read
from ltbench.trial.trial import ParentTrial, Trial


@dataclass(frozen=True)
class Settings:
    """How work is done; none of it decides a result, except ``precision``, ``mode``
    and ``arrivals``."""

    results: str
    data_dir: str | None = None
    device: str = "auto"
    precision: str = "float32"
    threads: int = 1
    speed: str = "auto"
    processes: int = 1
    accumulate: int = 1
    plugins: tuple[str, ...] = ()
    mode: str = "clean"
    arrivals: tuple[str, ...] = ()
    train: bool = True
    checkpoint_seconds: float = 15.0
    loaders: int | None = None
    mixed_recipe: bool = False
    command: tuple[str, ...] = ()
    engine: str = "local"
    timeout: float = 0.0
    """Seconds of a trial; 0: as many as it takes."""


@dataclass(frozen=True)
class MemberJob:
    """A training that an ensemble stands on, by its ingredients; trial: its content hash."""

    trial: str
    training: str
    hyper: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Job:
    """A trial by its ingredients, and its rows. ``trial`` is the expected content hash; the facts
    are those that a record of it, or of its failure, states."""

    trial: str
    protocol: Protocol
    training: str
    hyper: dict[str, Any]
    seed: int
    rows: tuple[dict[str, Any], ...]
    settings: Settings
    training_facts: dict[str, Any]
    data_facts: dict[str, Any]
    members: tuple[MemberJob, ...] = ()
    """Of an ensemble, whose ``training`` is a name and is not trained."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        return cls(
            trial=value["trial"],
            protocol=read(Protocol, value["protocol"], "protocol"),
            training=value["training"],
            hyper=dict(value["hyper"]),
            seed=int(value["seed"]),
            rows=tuple(value["rows"]),
            settings=read(Settings, value["settings"], "settings"),
            training_facts=dict(value["training_facts"]),
            data_facts=dict(value["data_facts"]),
            members=tuple(MemberJob(**member) for member in value["members"]),
        )

    def of_member(self, member: MemberJob) -> Job:
        """The training of ``member`` without rows."""
        return replace(
            self,
            trial=member.trial,
            training=member.training,
            hyper=member.hyper,
            seed=member.seed,
            rows=(),
            members=(),
        )

    def resolve_rows(self, registries: Registries) -> list[ResolvedRow]:
        return [row_from_json(row, self.protocol, registries) for row in self.rows]


def build_trial(
    protocol: Protocol,
    method: Plugin[Any],
    hyper: Hyper,
    seed: int,
    precision: str,
    splits: Splits | None,
    parent: ParentTrial | None = None,
) -> Trial:
    """The trial that trains ``method``; without ``splits`` its hash is only a placeholder."""
    return Trial(
        protocol=protocol,
        training=method.name,
        hyper=hyper.training_part(),
        version=method.cls.version,
        digest=method.digest,
        recipe=protocol.recipe_for(method.name),
        seed=seed,
        precision=precision,
        train_fingerprint=splits.train.fingerprint if splits else "",
        test_fingerprint=splits.test.fingerprint if splits else "",
        holdout_fingerprint=_holdout_fingerprint(protocol, splits),
        parent=parent,
    )


def _holdout_fingerprint(protocol: Protocol, splits: Splits | None) -> str:
    """Of the validation images that are the hold-out; what is held out of training images is theirs."""
    asked = protocol.train.holdout == VALIDATION and splits is not None
    return splits.holdout.fingerprint if asked and splits and splits.holdout else ""


def trial_folder(settings: Settings, trial: Trial) -> Path:
    return trial.folder(Path(settings.results))
