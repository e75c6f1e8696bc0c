"""A trial's own network as an encoder: what the heads of its experts are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from ltbench.encoder import LoadedEncoder, Preprocessing
from ltbench.encoders.load import Chosen
from ltbench.encoders.weights import digest_of
from ltbench.errors import InputError
from ltbench.execute.trained_network import load_network
from ltbench.models.fold import folded
from ltbench.models.network import ExpertNetwork
from ltbench.trial import store
from ltbench.trial.ensemble_record import KEY
from ltbench.trial.locate import locate_trial
from ltbench.version import __version__


class Penultimate(nn.Module):
    """``(B, 3, S, S)`` normalised images to ``(B, D)``, of E > 1 experts ``(B, E, D)``."""

    def __init__(self, network: ExpertNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.with_features(images)[1]
        return features[:, 0] if features.shape[1] == 1 else features


def trial_encoder(trial: Path, results: Path, plugins: Sequence[str] = ()) -> Chosen:
    """``trial``: its folder, or its hash (or the start of it) below ``results``.

    The network is the one that stored logits are of, BatchNorm folded into convolutions; images are
    normalised as in training and not resized. Raises :class:`InputError`, one line, where there is no such
    trial, it is an ensemble, or it has no weights.
    """
    folder = locate_trial(trial, results, holding=store.WEIGHTS)
    path = folder / store.TRIAL
    if not path.exists():
        raise InputError(f"{folder} holds no finished trial (no {store.TRIAL})")
    record = store.read_record(path)
    if KEY in record:
        raise InputError(f"{folder} is an ensemble; name one of its members")
    size = int(record["identity"]["data"].get("image_size") or 0)
    if not size:
        raise InputError(f"{folder} was trained on features; its network takes no images")
    network, mean, std = load_network(folder, record, plugins)
    ready = folded(network)
    assert isinstance(ready, ExpertNetwork)
    made = Preprocessing(mean=_triple(mean), std=_triple(std))
    weights = f"sha256:{digest_of(folder / store.WEIGHTS)}"
    loaded = LoadedEncoder(Penultimate(ready), made, weights, ("ltbench", __version__))
    name = f"trial:{record['training']['name']}/{folder.name}"
    return Chosen(name, "penultimate", loaded, size)


def _triple(values: Tensor) -> tuple[float, float, float]:
    one, two, three = values.tolist()
    return one, two, three
