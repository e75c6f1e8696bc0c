"""A trial is one training: its identity, and its folder on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ltbench.hyper import Json
from ltbench.protocol.protocol import Protocol, Recipe
from ltbench.settings import identity_of

SCHEMA = 1
TRAINING_SEMANTICS = 1
"""Raised when the arithmetic of the training loop changes on purpose."""


def content_hash(value: Any) -> str:
    """12 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ParentTrial:
    """The trial that another one starts from (``start``) or learns from (``teacher``)."""

    role: str
    trial: Trial

    def identity(self) -> dict[str, str]:
        return {"role": self.role, "trial": self.trial.hash}

    def facts(self) -> dict[str, Any]:
        """The ``parent`` block of a child's record; a parent of its own is nested."""
        trial = self.trial
        found: dict[str, Any] = {
            **self.identity(),
            "name": trial.training,
            "hyper": dict(trial.hyper),
        }
        found |= {"version": trial.version, "digest": trial.digest}
        return found if trial.parent is None else {**found, "parent": trial.parent.facts()}


@dataclass(frozen=True)
class Trial:
    """What is trained and how. Whatever decides the outcome is in :meth:`identity`."""

    protocol: Protocol
    training: str
    hyper: Mapping[str, Json]
    version: int
    digest: str
    recipe: Recipe
    seed: int
    precision: str
    train_fingerprint: str
    test_fingerprint: str
    holdout_fingerprint: str = ""
    """Of validation images, where ``train.holdout`` asks for them."""
    parent: ParentTrial | None = None

    def identity(self) -> dict[str, Any]:
        """Everything that is hashed. Names and titles are not: they change no weight.

        A setting marked ``later`` is left out while it has its default.
        """
        data = identity_of(self.protocol.data)
        for where in (
            "path",
            "lists",
            "paths",
            "dim",
            "encoder",
        ):  # where images lie and what is claimed of them: the fingerprints say which they are
            data.pop(where, None)
        code = {"code": self.protocol.backbone_code} if self.protocol.backbone_code else {}
        stands_on = {} if self.parent is None else {"parent": self.parent.identity()}
        return {
            "semantics": TRAINING_SEMANTICS,
            "training": {
                "name": self.training,
                "hyper": dict(self.hyper),
                "version": self.version,
                "digest": self.digest,
            },
            "data": data,
            "train": identity_of(self.protocol.train),
            "model": {**self.protocol.model.identity(), **code},
            "recipe": identity_of(self.recipe),
            "seed": self.seed,
            "precision": self.precision,
            "fingerprints": [
                *(self.train_fingerprint, self.test_fingerprint),
                *([self.holdout_fingerprint] if self.holdout_fingerprint else []),
            ],
            **stands_on,
        }

    def training_facts(self, origin: str) -> dict[str, Any]:
        """The ``training`` block of its records."""
        return {
            "name": self.training,
            "hyper": dict(self.hyper),
            "version": self.version,
            "digest": self.digest,
            "origin": origin,
        }

    def data_facts(self) -> dict[str, str]:
        """What its records say about which images."""
        return {
            "source": self.protocol.data.source,
            "train_fingerprint": self.train_fingerprint,
            "test_fingerprint": self.test_fingerprint,
        }

    @cached_property  # asked for often: of each trial a dozen times by a plan
    def hash(self) -> str:
        return content_hash(self.identity())

    def folder(self, results: Path) -> Path:
        return results / self.protocol.name / self.training / f"{self.seed}-{self.hash}"
