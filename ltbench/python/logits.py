"""What a trial stored of its network's outputs, with the labels that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ltbench.data.sources import open_data
from ltbench.errors import InputError, LtbenchError
from ltbench.execute.context import load_tensors
from ltbench.protocol.protocol import VALIDATION, DataConfig, TrainConfig
from ltbench.python.arguments import AnyPath, Plugins, optional_path, plugin_files
from ltbench.settings import read
from ltbench.shift.trainset import select_training
from ltbench.task import held_out
from ltbench.trial import store
from ltbench.trial.ensemble_record import KEY, sound_members
from ltbench.trial.locate import locate_trial

if TYPE_CHECKING:
    from ltbench.data.dataset import Splits


@dataclass(frozen=True, eq=False)
class StoredLogits:
    """Outputs of a trial's network, before any strategy.

    logits: ``(N, E, C)`` float32 of all clean test images, in the order of the data; labels:
    ``(N,)`` int64; holdout: ``(H, E, C)`` float32 of the held-out training images and
    holdout_labels ``(H,)``, None where the trial has none; bias: ``(E, C)`` where imported outputs
    came with one (softmax(z_e + b_e) is the posterior under the training prior), else None;
    record: the trial's ``trial.json``.
    """

    logits: Tensor
    labels: Tensor
    holdout: Tensor | None
    holdout_labels: Tensor | None
    bias: Tensor | None
    record: dict[str, Any]


def load_logits(
    trial: AnyPath,
    *,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    plugins: Plugins = (),
) -> StoredLogits:
    """The stored test logits of ``trial``: its folder, or its hash (or the start of it).

    A hash is looked for below ``results`` and ``results/published``. An ensemble has the logits of
    its members side by side, in the order of its record. Labels come from the images,
    which must be here (``data_dir``: the folder that holds them, ``plugins``: the file of their
    source, where it is one of yours; nothing is downloaded) and those
    that the record names. Nothing is unpickled. Raises :class:`ValueError` where there is no such
    trial, it has no logits (published records have weights: ``load_model`` makes them again),
    images, logits and record do not fit together, or a member is missing or another one now.
    """
    folder = locate_trial(Path(trial), Path(results))
    if not (folder / store.TRIAL).exists():
        raise InputError(f"{folder} holds no finished trial (no {store.TRIAL})")
    record = store.read_record(folder / store.TRIAL)
    if KEY in record:
        return _of_members(folder, record, data_dir, plugins)
    path = folder / store.LOGITS
    if not path.exists():
        raise InputError(
            f"{folder} holds a record without logits (no {store.LOGITS}); where it has weights, "
            "ltbench.load_model(trial)(images) makes them again"
        )
    try:
        # Copies: a tensor mapped from a file that somebody cuts short would end the process.
        stored = {name: tensor.clone() for name, tensor in load_tensors(path).items()}
    except LtbenchError as error:
        raise InputError(str(error)) from None
    logits, holdout = stored.get("logits"), stored.get("holdout")
    if logits is None or logits.ndim != 3 or logits.dtype != torch.float32:
        raise InputError(f"{path} holds no float32 logits (N, E, C)")
    labels, held_labels = stored.get("labels"), stored.get("holdout_labels")
    if labels is None:
        place, files = optional_path(data_dir), plugin_files(plugins)
        labels, held_labels = _labels(folder, record, place, files, holdout is not None)
    if len(labels) != len(logits) or (
        holdout is not None and (held_labels is None or len(held_labels) != len(holdout))
    ):
        raise InputError(f"{path} does not have the images that {store.TRIAL} names")
    return StoredLogits(logits, labels, holdout, held_labels, stored.get("bias"), record)


def _of_members(
    folder: Path, record: dict[str, Any], data_dir: AnyPath | None, plugins: Plugins
) -> StoredLogits:
    """Those of all members on the expert axis, in the order of the record."""
    parts = [
        load_logits(place, data_dir=data_dir, plugins=plugins)
        for place in sound_members(record, folder)
    ]
    sound_members(record, folder)  # nor was one trained again meanwhile
    held = [part.holdout for part in parts if part.holdout is not None]
    biases = [part.bias for part in parts if part.bias is not None]
    whole = len(held) == len(parts)
    return StoredLogits(
        torch.cat([part.logits for part in parts], dim=1),
        parts[0].labels,
        torch.cat(held, dim=1) if whole else None,
        parts[0].holdout_labels if whole else None,
        torch.cat(biases) if len(biases) == len(parts) else None,
        record,
    )


def _labels(
    folder: Path,
    record: dict[str, Any],
    data_dir: Path | None,
    plugins: tuple[str, ...],
    held: bool,
) -> tuple[Tensor, Tensor | None]:
    try:
        identity, classes = record["identity"], len(record["data"]["class_names"])
        config = read(DataConfig, identity["data"], "data")
        train = read(TrainConfig, identity["train"], "train")
        fingerprints = list(identity["fingerprints"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / store.TRIAL} does not name its images: {error!r}") from None
    splits = open_data(config, data_dir, download=False, plugins=plugins)
    here = [splits.train, splits.test]
    if train.holdout == VALIDATION and splits.holdout is not None:
        here.append(splits.holdout)
    if [dataset.fingerprint for dataset in here] != fingerprints:
        raise InputError(f"{splits.origin} are not the images of {folder}: fingerprints differ")
    return _as_tensor(splits.test.labels), _held_labels(splits, classes, train) if held else None


def _held_labels(splits: Splits, classes: int, train: TrainConfig) -> Tensor:
    selected = select_training(splits.train.labels, classes, train)
    return _as_tensor(held_out(splits, selected, train).labels)


def _as_tensor(labels: Any) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64)
