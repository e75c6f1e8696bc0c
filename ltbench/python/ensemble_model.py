"""An ensemble as one model: the networks of its members, their experts side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.errors import InputError
from ltbench.method import Method, NoHyper
from ltbench.models.side_by_side import SideBySide
from ltbench.python.model import TrainedModel
from ltbench.registry import load_registries
from ltbench.resolve.ensembles import Member, ensemble_plugin
from ltbench.trial.asked_code import Code
from ltbench.trial.ensemble_record import KEY, sound_members


class EnsembleModel(TrainedModel):
    """Logits are ``(B, sum_m E_m, C)``, scores the mean over members of each one's own."""

    def __init__(
        self, record: dict[str, Any], members: Sequence[TrainedModel], plugins: Sequence[str] = ()
    ) -> None:
        super().__init__(record, members[0]._inference, plugins)
        self.members = tuple(members)

    @cached_property
    def network(self) -> torch.nn.Module:
        """Expects normalised images."""
        return SideBySide([member.network for member in self.members]).eval()

    def __call__(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        return torch.cat([member(images) for member in self.members], dim=1)

    @cached_property
    def method(self) -> Method[Any]:
        """The members' methods as one; those from plugin files need ``load_model(..., plugins=)``."""
        members = tuple(self._member(entry) for entry in self.record[KEY]["members"])
        name = self.record["training"]["name"]
        plugin = ensemble_plugin(name, members, name, of_one_method=False)
        return plugin.cls(torch.tensor(self.record["data"]["train_counts"]), NoHyper())

    def _member(self, entry: dict[str, Any]) -> Member:
        told = entry["method"]
        methods = load_registries(self._plugins).methods
        name = told["name"]
        if name not in methods.plugins and name not in methods.broken:
            raise InputError(
                f"unknown method {name!r}: the member's comes from {told['origin']}; "
                "load_model(..., plugins=[FILE]) makes it known"
            )
        plugin = methods.get(name)
        if (plugin.cls.version, plugin.digest) != (told["version"], told["digest"]):
            raise InputError(
                f"the code of method {name!r} is not the one of this ensemble (version "
                f"{told['version']}, code {Code('method', name, told['digest']).short}; here version "
                f"{plugin.cls.version}, code {Code('method', name, plugin.digest).short}); its "
                "logits can be had, its prediction cannot"
            )
        return Member(
            plugin, plugin.cls.hyper_type.from_mapping(told["hyper"], name), entry["label"]
        )


def load_ensemble(
    folder: Path,
    record: dict[str, Any],
    load: Callable[[Path], TrainedModel],
    plugins: Sequence[str],
) -> EnsembleModel:
    """The ensemble of the ``trial.json`` in ``folder``; ``load`` gives the model of a member's folder.

    Raises :class:`InputError` where a member is missing, another one now or without weights.
    """
    models = [load(place) for place in sound_members(record, folder)]
    sound_members(record, folder)  # nor was one trained again meanwhile
    return EnsembleModel(record, models, plugins)
