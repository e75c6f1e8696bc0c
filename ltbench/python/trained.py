"""``load_model``: the trained network of a trial or an ensemble, for use on any images."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from ltbench.errors import InputError
from ltbench.execute.trained_network import load_network
from ltbench.python.arguments import Plugins, plugin_files
from ltbench.python.ensemble_model import load_ensemble
from ltbench.python.model import TrainedModel
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
    network, mean, std = load_network(folder, record, files)
    network = network.to(memory_format=torch.channels_last)
    inference = Inference(network, mean, std, resolve_device(device))
    return TrainedModel(record, inference, files)
