"""The trial that several imports make together; their logits are kept with them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ltbench.errors import InputError
from ltbench.evaluate.outputs import HoldOut
from ltbench.imported.members import StoredImport
from ltbench.imported.outputs import ModelOutputs
from ltbench.imported.task import ImportedTrial
from ltbench.task import Task
from ltbench.trial.ensemble import ENSEMBLE_SEMANTICS, FOLDER


@dataclass(frozen=True)
class ImportedEnsemble(ImportedTrial):
    """seed: the number of the replicate. members: the hashes of their trials, in their order."""

    members: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        return {
            "ensemble": ENSEMBLE_SEMANTICS,
            "imported": {"name": self.training, "members": list(self.members)},
            "seed": self.seed,
            "fingerprints": [self.train_fingerprint, self.test_fingerprint],
        }

    def folder(self, results: Path) -> Path:
        name = FOLDER + self.training.replace("*", "x")
        return results / self.protocol.name / name / f"{self.seed}-{self.hash}"


def joint_outputs(members: Sequence[StoredImport]) -> ModelOutputs:
    """Logits ``(N, sum E_m, C)`` and biases ``(sum E_m, C)`` side by side; no bias where one lacks it.

    So with the logits of views, as many pairs as all have, and of a hold-out that all share.
    """
    parts = [member.outputs for member in members]
    biases = [part.bias for part in parts if part.bias is not None]
    views = [part.views for part in parts if part.views is not None]
    pairs = min((len(each) for each in views), default=0)
    return ModelOutputs(
        logits=torch.cat([part.logits for part in parts], dim=1),
        labels=parts[0].labels,
        counts=parts[0].counts,
        bias=torch.cat(biases) if len(biases) == len(parts) else None,
        holdout=_joint_holdout([part.holdout for part in parts]),
        views=torch.cat([each[:pairs] for each in views], dim=2)
        if len(views) == len(parts)
        else None,
    )


def _joint_holdout(parts: Sequence[HoldOut | None]) -> HoldOut | None:
    held = [part for part in parts if part is not None]
    if len(held) < len(parts) or any(not torch.equal(h.labels, held[0].labels) for h in held):
        return None
    return HoldOut(torch.cat([part.logits for part in held], dim=1), held[0].labels)


def joint_trial(
    name: str, replicate: int, members: Sequence[StoredImport], outputs: ModelOutputs, task: Task
) -> ImportedEnsemble:
    """Replicate ``replicate`` of the ensemble ``name``. Raises where two members are one model."""
    by_logits: dict[str, StoredImport] = {}
    for member in members:
        same = by_logits.setdefault(member.record["imported"]["arrays"]["logits"], member)
        if same is not member:
            raise InputError(
                f"ensemble {name}: {same.told} and {member.told} hold the same logits; the same "
                "outputs twice are no two members"
            )
    train, test = members[0].scored.fingerprints
    return ImportedEnsemble(
        protocol=task.protocol,
        training=name,
        hyper={"members": [member.name for member in members]},
        version=1,
        digest="",
        recipe=task.protocol.recipe,
        seed=replicate,
        precision="float32",
        train_fingerprint=train,
        test_fingerprint=test,
        arrays=outputs.digests(),
        members=tuple(member.record["trial"] for member in members),
    )
