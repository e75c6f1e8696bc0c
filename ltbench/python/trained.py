"""The trained network of a trial, for use on any images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.errors import InputError
from ltbench.execute.context import load_tensors
from ltbench.method import Architecture, Method
from ltbench.models.resnet import build_network
from ltbench.plugins.asked_code import Code
from ltbench.python.arguments import Plugins, plugin_files
from ltbench.registry import load_registries
from ltbench.seeds import generator
from ltbench.train.infer import Inference
from ltbench.trial import store
from ltbench.trial.ensemble_record import KEY
from ltbench.trial.environment import resolve_device
from ltbench.trial.locate import locate_trial


class TrainedModel:
    """A trial's network with its normalisation. Images are uint8 RGB ``(B, 3, H, W)``.

    class_names: ``(C,)`` names; record: the trial's ``trial.json``; network: the bare module, which
    expects normalised images.
    """

    def __init__(
        self, record: dict[str, Any], inference: Inference, plugins: Sequence[str] = ()
    ) -> None:
        self.record = record
        self.class_names: tuple[str, ...] = tuple(record["data"]["class_names"])
        self._inference = inference
        self._plugins = tuple(plugins)

    @property
    def network(self) -> torch.nn.Module:
        return self._inference.network

    def __call__(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        """Logits ``(B, E, C)``, float32, on the CPU. Raises :class:`InputError` for other images."""
        pixels = _checked(images)
        return self._inference(lambda chosen: pixels[chosen], len(pixels))

    def scores(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        """``(B, C)``: what the method makes of the logits, without adaptation."""
        return self.method.predict(self(images))

    def predict(self, images: Tensor | NDArray[np.uint8]) -> Tensor:
        """``(B,)`` int64: the predicted class of each image."""
        return self.scores(images).argmax(dim=1)

    @cached_property
    def method(self) -> Method[Any]:
        """The method that trained it; one from a plugin file needs ``load_model(..., plugins=)``."""
        training = self.record["training"]
        methods = load_registries(self._plugins).methods
        if training["name"] not in methods.plugins and training["name"] not in methods.broken:
            origin = str(training["origin"])
            raise InputError(
                f"unknown method {training['name']!r}: the trial's comes from {origin}; "
                "load_model(..., plugins=[FILE]) makes it known"
            )
        plugin = methods.get(training["name"])
        cls = plugin.cls
        if cls.version != training["version"]:
            raise InputError(
                f"the trial is of version {training['version']} of {cls.name!r}, here is version "
                f"{cls.version}; its logits can be had, its prediction cannot"
            )
        trained = self.record.get("identity", {}).get("training", {}).get("digest", plugin.digest)
        if plugin.digest != trained:
            raise InputError(
                f"the code of method {cls.name!r} is not the one that trained this trial (code "
                f"{Code('method', cls.name, trained).short}, here "
                f"{Code('method', cls.name, plugin.digest).short}); its logits can be had, its "
                "prediction cannot"
            )
        counts = torch.tensor(self.record["data"]["train_counts"])
        method: Method[Any] = cls(counts, cls.hyper_type.from_mapping(training["hyper"], cls.name))
        return method


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
    the method, where it is not ltbench's own; only ``predict`` and ``scores`` need them. An ensemble is
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
    if KEY in record:
        from ltbench.python.ensemble_model import load_ensemble

        return load_ensemble(folder, record, device, plugin_files(plugins))
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
        )
        network = build_network(
            model["backbone"], len(data["class_names"]), request, generator("shell")
        )
        network.load_state_dict(load_tensors(weights))
        mean, std = torch.tensor(data["mean"]), torch.tensor(data["std"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} does not describe a network: {error!r}") from None
    except RuntimeError as error:  # of load_state_dict: names or shapes do not fit
        reason = str(error).splitlines()[0]
        raise InputError(f"{weights} does not fit {path.name}: {reason}") from None
    network = network.to(memory_format=torch.channels_last)
    inference = Inference(network, mean, std, resolve_device(device))
    return TrainedModel(record, inference, plugin_files(plugins))


def _checked(images: Tensor | NDArray[np.uint8]) -> NDArray[np.uint8]:
    array = images.cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] != 3:
        raise InputError(
            f"images must be uint8 (B, 3, H, W), 0 to 255, not {array.dtype} {array.shape}; "
            "normalisation is done inside"
        )
    if len(array) == 0:
        raise InputError("there must be at least one image")
    return array
