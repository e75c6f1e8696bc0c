"""The network of a finished trial, made again from its record and its weights; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltbench.backbone import ChosenBackbone, FeatureModel
from ltbench.errors import InputError
from ltbench.execute.context import load_tensors
from ltbench.execute.rebuild import rebuild
from ltbench.method import Architecture
from ltbench.models.build import build_network
from ltbench.models.network import ExpertNetwork
from ltbench.registry import load_backbones
from ltbench.seeds import generator
from ltbench.trial import store


def load_network(
    folder: Path, record: Mapping[str, Any], plugins: Sequence[str] = ()
) -> tuple[ExpertNetwork, Tensor, Tensor]:
    """The network, on the CPU, and (3,) mean and deviation of its inputs.

    record: the trial's ``trial.json``. Raises :class:`InputError`, one line, where there are no weights or
    where they do not fit.
    """
    path, weights = folder / store.TRIAL, folder / store.WEIGHTS
    if not weights.exists():
        raise InputError(
            f"{folder} holds a record without weights ({store.WEIGHTS} is missing); "
            "there is no network to load"
        )
    try:
        model, data = record["model"], record["data"]
        request = Architecture(
            experts=model["experts"],
            head=model["head"],
            scale=model["scale"],
            reduced=model["reduced"],
            share=model.get("share", "stage1"),
            shared_head=model.get("shared_head", False),
        )
        network = build_network(
            _backbone(model, plugins), len(data["class_names"]), request, generator("shell")
        )
        if model.get("built", False):
            rebuild(record, network, plugins)
        network.load_state_dict(load_tensors(weights))
        return network, torch.tensor(data["mean"]), torch.tensor(data["std"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} does not describe a network: {error!r}") from None
    except RuntimeError as error:  # of load_state_dict: names or shapes do not fit
        reason = str(error).splitlines()[0]
        raise InputError(f"{weights} does not fit {path.name}: {reason}") from None


def _backbone(model: Mapping[str, Any], plugins: Sequence[str]) -> ChosenBackbone:
    """Raises :class:`InputError` where it is not known or its code is another one."""
    name, code = str(model["backbone"]), str(model.get("code", ""))
    known = load_backbones(plugins)
    if code and name not in known.plugins and name not in known.broken:
        raise InputError(
            f"unknown backbone {name!r}, of which this network is; load_model(..., plugins=[FILE]) "
            "makes it known"
        )
    plugin = known.get(name)
    if plugin.digest != code:
        raise InputError(
            f"the code of backbone {name!r}, of which this network is, is another one: "
            f"{code[:8] or 'as shipped'}; here {plugin.digest[:8] or 'as shipped'}"
        )
    if "features" in model:
        facts = {key: value for key, value in model["features"].items() if key != "init"}
        return ChosenBackbone(plugin.cls, 0, FeatureModel(**facts))
    return ChosenBackbone.of(plugin.cls, model.get("shared"))
