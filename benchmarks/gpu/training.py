"""Images a second of one training through the package's own loop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ltbench
from benchmarks import material as materials
from benchmarks.gpu.cases import Case
from ltbench.errors import InterruptedRun
from ltbench.protocol.protocol import Recipe
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.train.speed import resolve_speed

WARM = 1
"""Epochs before the clock starts: kernels are chosen, steps recorded, the network compiled."""


@dataclass(frozen=True)
class Set:
    """The training images of CIFAR-100-LT. images: (N, 3, 32, 32) uint8, N whole batches, so that one
    shape alone is recorded and compiled."""

    images: Tensor
    labels: Tensor
    counts: Tensor
    mean: Tensor
    std: Tensor
    recipe: Recipe
    source: str

    @classmethod
    def load(cls, data_dir: Path | None, *, tiny: bool) -> Set:
        """tiny: two batches of four."""
        material = materials.load(data_dir, 1)
        recipe = material.protocol.recipe
        if tiny:
            recipe = dataclasses.replace(recipe, batch_size=4)
        whole = len(material.train) // recipe.batch_size * recipe.batch_size
        whole = 2 * recipe.batch_size if tiny else whole
        mean, std = material.normalisation()
        return cls(
            torch.from_numpy(material.train[:whole].transpose(0, 3, 1, 2).copy()),
            torch.from_numpy(material.train_labels[:whole]),
            torch.from_numpy(material.task.train.counts),
            mean,
            std,
            recipe,
            material.images,
        )

    def part(self, batches: int) -> Set:
        images = batches * self.recipe.batch_size
        return dataclasses.replace(self, images=self.images[:images], labels=self.labels[:images])

    def job(self, case: Case, device: torch.device, seed: int = 0) -> TrainingJob:
        return TrainingJob(
            trial=case.name,
            method=ltbench.get_method(case.method, self.counts.to(device)),
            recipe=self.recipe,
            backbone="resnet32",
            images=self.images,
            labels=self.labels,
            mean=self.mean,
            std=self.std,
            seed=seed,
            device=device,
            precision="bf16" if case.bf16 else "float32",
            speed=resolve_speed(case.speed, device.type),
        )


class Clock:
    """Lets ``WARM`` epochs pass, waits for whoever else trains, and counts those that end within ``seconds``.

    One more runs on uncounted, so that all who train side by side have company to the end of the time.
    """

    def __init__(self, seconds: float, wait: Callable[[], None] = lambda: None) -> None:
        self.seconds, self.wait = seconds, wait
        self.epochs: list[float] = []
        """When each counted one ended, after the start of the clock."""
        self.losses: list[float] = []
        self.warm_up = 0.0
        self._made, self._began = time.perf_counter(), 0.0
        self._over = False

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.losses.append(record["loss"])
        now = time.perf_counter()
        if len(self.losses) == WARM:
            self.warm_up = now - self._made
            self.wait()
            self._began = time.perf_counter()
        elif len(self.losses) > WARM:
            passed = now - self._began
            self._over = passed > self.seconds
            if not self._over or not self.epochs:
                self.epochs.append(passed)

    def should_stop(self) -> bool:
        return self._over


def rate(
    data: Set, case: Case, device: torch.device, clock: Clock, seed: int = 0
) -> dict[str, Any]:
    """Trains until ``clock`` says so. The first loss tells whether two modes are the same training."""
    job = data.job(case, device, seed)
    with suppress(InterruptedRun):
        train(job, Hooks(clock.on_epoch, clock.should_stop), {})
    if not clock.epochs:
        raise RuntimeError("no epoch ended in time")
    steps = len(job.labels) // job.recipe.batch_size
    each = [b - a for a, b in zip([0.0, *clock.epochs], clock.epochs, strict=False)]
    return {
        "images_per_second": round(len(job.labels) * len(each) / clock.epochs[-1], 1),
        "best_images_per_second": round(len(job.labels) / min(each), 1),
        "step_ms": round(1000 * clock.epochs[-1] / len(each) / steps, 4),
        "epochs": len(each),
        "warm_up_seconds": round(clock.warm_up, 2),
        "first_loss": clock.losses[0],
    }
