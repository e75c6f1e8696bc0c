"""``load_model``: the trained network of a trial or an ensemble, for use on any images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ltbench.backbone import ChosenBackbone, FeatureModel
from ltbench.errors import InputError
from ltbench.execute.context import load_tensors
from ltbench.method import Architecture
from ltbench.models.build import build_network
from ltbench.python.arguments import Plugins, plugin_files
from ltbench.python.ensemble_model import load_ensemble
from ltbench.python.lineage import rebuild
from ltbench.python.model import TrainedModel
from ltbench.registry import load_backbones
from ltbench.seeds import generator
from ltbench.train.infer import Inference
from ltbench.trial import store
from ltbench.trial.ensemble_record import KEY
from ltbench.trial.environment import resolve_device
from ltbench.trial.locate import locate_trial


def load_model(
    trial: str | PathLike[str],
    *,
    results: str | PathLike[str] = "results",
    device: str = "cpu",
    plugins: Plugins = (),
) -> TrainedModel:
    """The trained network of ``trial``: its folder, or its hash (or the start of it).

    A hash is looked for below ``results`` and ``results/published``. Where both have the trial, the
    user's own copy counts, unless it has no weights and the published one has. ``plugins``: files that define
    the method or the backbone, where it is not ltbench's own; only ``predict`` and ``scores`` need a method,
    and a network on which it built. An ensemble is
    one model: the experts of its members side by side, if these are as they were. Nothing is
    unpickled. Raises :class:`InputError` where there is no such trial or it has no weights.

        >>> model = load_model("results/published/digits-lt/sade/0-5a2f83d2ebba")  # doctest: +SKIP
        >>> model(images).shape  # uint8 (B, 3, 8, 8)                              # doctest: +SKIP
        torch.Size([32, 3, 10])
    """
    folder = locate_trial(Path(trial), Path(results), holding=store.WEIGHTS)
    path = folder / store.TRIAL
    if not path.exists():
        raise InputError(f"{folder} holds no finished trial (no {store.TRIAL})")
    record = store.read_record(path)
    files = plugin_files(plugins)
    if KEY in record:

        def load(member: Path) -> TrainedModel:
            return load_model(member, device=device, plugins=files)

        return load_ensemble(folder, record, load, files)
    weights = folder / store.WEIGHTS
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
            _backbone(model, files), len(data["class_names"]), request, generator("shell")
        )
        if model.get("built", False):
            rebuild(record, network, files)
        network.load_state_dict(load_tensors(weights))
        mean, std = torch.tensor(data["mean"]), torch.tensor(data["std"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} does not describe a network: {error!r}") from None
    except RuntimeError as error:  # of load_state_dict: names or shapes do not fit
        reason = str(error).splitlines()[0]
        raise InputError(f"{weights} does not fit {path.name}: {reason}") from None
    network = network.to(memory_format=torch.channels_last)
    inference = Inference(network, mean, std, resolve_device(device))
    return TrainedModel(record, inference, files)


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
