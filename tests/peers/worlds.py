"""Inputs of the comparisons: networks' outputs for a training, a hold-out and a test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sklearn.base import BaseEstimator
from torch import Tensor

from ltbench import get_method, get_strategy, load_protocol, run
from ltbench.data.sources import open_data
from ltbench.strategy import Adapted, OptimizerSettings, Source, UnlabelledTest
from ltbench.task import build_task

Array = NDArray[np.float64]
CLASSES = (2, 10, 100, 1000)
DTYPES = (torch.float16, torch.float32, torch.float64)
SGD = OptimizerSettings(0.1, 0.9, True, 5e-4)


class Known(BaseEstimator):
    """A fitted classifier whose inputs are its posteriors."""

    def __init__(self, classes: int = 2) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)
        self.fitted_ = True

    def fit(self, inputs: Array, labels: Array) -> Known:
        return self

    def predict_proba(self, inputs: Array) -> Array:
        return inputs


@dataclass(frozen=True)
class World:
    """counts ``(C,)`` of training; test ``(N, C)`` and held ``(H, C)`` logits of cross-entropy, hence
    log-posteriors at the training prior, each image up to a constant; labels ``(H,)`` of held;
    truth ``(N,)``: labels of test, where they are needed."""

    counts: Tensor
    test: Tensor
    held: Tensor
    labels: Tensor
    truth: Tensor | None = None

    @property
    def prior(self) -> Array:
        return np.asarray((self.counts.double() / self.counts.sum()).numpy())

    def posteriors(self) -> Array:
        return softmax(self.test)

    def adapt(self, strategy: str, **hyper: Any) -> Adapted:
        """As ltbench does it, from logits of one expert."""
        method = get_method("ce", self.counts)
        source = Source(
            method,
            method.bias(),
            "closed-form",
            SGD,
            holdout_logits=self.held[:, None],
            holdout_labels=self.labels,
        )
        rng = torch.Generator().manual_seed(0)
        return get_strategy(strategy, **hyper).adapt(
            UnlabelledTest(self.test[:, None]), source, rng
        )


def softmax(logits: Tensor) -> Array:
    return np.asarray(logits.double().softmax(dim=1).numpy())


def found_prior(adapted: Adapted) -> Array:
    assert adapted.prior is not None
    return np.asarray(adapted.prior.double().numpy())


def random_world(
    classes: int,
    dtype: torch.dtype = torch.float64,
    *,
    images: int = 3000,
    held: int = 3000,
    sharpness: float = 2.0,
    margin: float = 3.0,
    absent: int = 0,
    extreme: bool = False,
    seed: int = 0,
) -> World:
    """A long-tailed training set, imbalance 50, a hold-out distributed like it (each class has one
    image at least, but the last ``absent``), and a test set with the reversed prior.

    Logits are Gaussian, higher by ``margin sharpness`` for the true class, in ``dtype``. ``extreme``: every
    third image of either set has posteriors of exactly 0 and 1.
    """
    rng = torch.Generator().manual_seed(seed)
    share = 50.0 ** (-torch.arange(classes) / max(classes - 1, 1))
    counts = (share / share.sum() * max(held, 3 * classes)).round().long().clamp_min(1)
    labels = torch.arange(classes).repeat_interleave(counts)
    labels = labels[labels < classes - absent]
    test_labels = torch.multinomial(share.flip(0), images, True, generator=rng)

    def outputs(truth: Tensor) -> Tensor:
        noise = torch.randn(len(truth), classes, generator=rng, dtype=torch.float64)
        logits = sharpness * (noise + margin * torch.eye(classes, dtype=torch.float64)[truth])
        logits += counts.double().log() - counts.double().log().mean()
        if extreme:
            logits[::3] *= 4000 / sharpness
        return logits.to(dtype)

    return World(counts, outputs(test_labels), outputs(labels), labels, test_labels)


def digits_world(folder: Path) -> tuple[World, Tensor]:
    """A trial of cross-entropy on Digits-LT, and the labels ``(N,)`` of its test images."""
    words: dict[str, Any] = {"recipe": {"epochs": 4}, "train": {"holdout": 0.3}}
    outcome = run("ce", "digits-lt", seeds=1, results=folder, **words)
    (path,) = folder.glob(f"digits-lt/ce/*{outcome.finished[0]}/logits.safetensors")
    stored = load_file(path)
    protocol = load_protocol("digits-lt", **words)
    task = build_task(protocol, open_data(protocol.data, None, download=False))
    labels = torch.from_numpy(task.splits.train.labels[task.train.holdout]).long()
    counts = torch.as_tensor(task.train.counts)
    world = World(counts, stored["logits"][:, 0], stored["holdout"][:, 0], labels)
    return world, torch.from_numpy(task.splits.test.labels).long()


def distance(one: Array, other: Array) -> float:
    """Largest absolute difference."""
    return float(np.max(np.abs(np.asarray(one) - np.asarray(other))))
