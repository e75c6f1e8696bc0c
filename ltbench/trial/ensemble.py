"""The trial that several finished trainings make together: no network and no logits of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.protocol.protocol import Recipe
from ltbench.settings import identity_of
from ltbench.trial.trial import Trial

ENSEMBLE_SEMANTICS = 1
"""Raised when what an ensemble makes of its members changes on purpose."""
FOLDER = "ensemble-"
"""Begins the name of its folder: no ``*`` may stand there, and no training is in the way."""


@dataclass(frozen=True)
class EnsembleTrial(Trial):
    """seed: the number of the replicate; recipe: of the first member. members: in their order."""

    members: tuple[Trial, ...] = ()

    def identity(self) -> dict[str, Any]:
        """The identities of the members; what they have in common stands beside them, too."""
        first = self.members[0].identity()
        return {
            "ensemble": ENSEMBLE_SEMANTICS,
            "name": self.training,
            "members": [member.hash for member in self.members],
            "seed": self.seed,
            **{key: first[key] for key in ("data", "train", "model", "fingerprints", "precision")},
        }

    def folder(self, results: Path) -> Path:
        name = FOLDER + self.training.replace("*", "x")
        return results / self.protocol.name / name / f"{self.seed}-{self.hash}"


def ensemble_trial(
    name: str,
    hyper: Mapping[str, Any],
    version: int,
    digest: str,
    seed: int,
    members: Sequence[Trial],
) -> EnsembleTrial:
    """Replicate ``seed`` of the ensemble ``name``. Raises :class:`InputError` for a doubled member."""
    hashes = [member.hash for member in members]
    if len(set(hashes)) != len(hashes):
        raise InputError(f"ensemble {name}: one network is a member twice")
    first = members[0]
    return EnsembleTrial(
        protocol=first.protocol,
        training=name,
        hyper=hyper,
        version=version,
        digest=digest,
        recipe=first.recipe,
        seed=seed,
        precision=first.precision,
        train_fingerprint=first.train_fingerprint,
        test_fingerprint=first.test_fingerprint,
        holdout_fingerprint=first.holdout_fingerprint,
        members=tuple(members),
    )


def check_same_recipe(name: str, recipes: Mapping[str, Recipe]) -> None:
    """Refuses members of different recipes, by label; one line with the first difference."""
    first, *others = recipes
    usual = identity_of(recipes[first])
    for other in others:
        for key, value in identity_of(recipes[other]).items():
            if value != usual[key]:
                raise InputError(
                    f"ensemble {name}: its members are trained by different recipes (recipe.{key} = "
                    f"{usual[key]} for {first}, {value} for {other}); --mixed-recipe allows it"
                )


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str = "") -> str:
    """The first entry in which two identities differ, ``"recipe.epochs is 40, here 200"``."""
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            if found := difference(other, mine, f"{where}{key}."):
                return found
        elif (list(mine) if isinstance(mine, tuple) else mine) != other:
            if key == "fingerprints":
                return "its images are others (data fingerprints)"
            return f"{where}{key} is {_short(other)}, here {_short(mine)}"
    return ""


def _short(value: Any) -> str:
    text = "not told" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
