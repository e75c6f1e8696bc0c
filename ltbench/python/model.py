"""A trained network as users hold it: images to logits, scores and classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltbench.errors import InputError
from ltbench.method import Method
from ltbench.models.frozen import FrozenNetwork
from ltbench.registry import load_registries
from ltbench.train.infer import Inference
from ltbench.trial.asked_code import Code


class TrainedModel:
    """A trial's network with its normalisation. Images are uint8 RGB ``(B, 3, H, W)``, or ``(B, D)`` features
    where it stands on a frozen encoder.

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
        pixels = self._inputs(images)
        return self._inference(lambda chosen: pixels[chosen], len(pixels))

    def _inputs(self, images: Tensor | NDArray[Any]) -> NDArray[Any]:
        if isinstance(self.network, FrozenNetwork):
            return _checked_features(images, self.network.feature_width)
        return _checked(images)

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


def _checked_features(features: Tensor | NDArray[Any], dim: int) -> NDArray[np.float32]:
    array = features.cpu().numpy() if isinstance(features, Tensor) else np.asarray(features)
    if array.dtype.kind != "f" or array.ndim not in (2, 3) or array.shape[-1] != dim:
        raise InputError(
            f"this network takes features (B, {dim}) of its encoder, not {array.dtype} {array.shape}"
        )
    if len(array) == 0:
        raise InputError("there must be at least one image")
    return array.astype(np.float32)


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
