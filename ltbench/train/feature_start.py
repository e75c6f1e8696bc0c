"""How heads on frozen features begin: what the input is measured by, and their first weights."""

from __future__ import annotations

from torch import Tensor

from ltbench.errors import InputError
from ltbench.models.frozen import FrozenNetwork
from ltbench.models.network import ExpertNetwork
from ltbench.train.frozen_feed import FeatureRows


def begin_on_features(
    network: ExpertNetwork, features: FeatureRows, labels: Tensor, classes: int, init: str
) -> None:
    """Sets the frozen buffers from the un-augmented training rows and, by ``init``, the heads.

    labels: ``(N,)`` int64. Raises :class:`InputError` where the folder has no text features to start from.
    """
    assert isinstance(network, FrozenNetwork)
    device = network.centre.device
    clean = features.clean.to(device)
    network.measure(clean)
    if init == "class-mean":
        network.start_from(network.class_means(clean, labels.to(device), classes))
    elif init == "text":
        if features.text is None:
            raise InputError('model.init = "text": the folder has no heads.safetensors')
        network.start_from(features.text.to(device))
