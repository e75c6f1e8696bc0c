"""End-to-end training: from stored images to updated weights."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks import material as materials
from benchmarks.material import Material
from benchmarks.published import BATCH, Published
from benchmarks.row import Row
from benchmarks.timing import Spread, ratio
from ltbench.models.build import build_network
from ltbench.seeds import generator
from ltbench.train.compiling import compiled
from ltbench.train.feed import ResidentFeed
from ltbench.train.given import Given
from ltbench.train.step import Step
from ltbench.trial.environment import bf16_is_native, usable_cpus

STEPS = 12  # of one round, after the first ones, which also fill the pipeline
WARM = 2


def training(material: Material, published: Published, data_dir: Path | None, method: str) -> Row:
    experts = material.method(method).architecture().experts
    heads = "1 head" if experts == 1 else f"{experts} experts"
    row = Row(f"training-{experts}", f"End-to-end training, {heads} ({method})")
    procedures: dict[str, Callable[[], float]] = {
        "published": _published(material, published, method),
        "ltbench": Trainer(material, method).seconds_per_image,
    }
    cpu = torch.device("cpu")
    if bf16_is_native(cpu):
        procedures["ltbench bf16"] = Trainer(material, method, bf16=True).seconds_per_image
        procedures["ltbench bf16 compiled"] = Trainer(
            material, method, bf16=True, compile=True
        ).seconds_per_image
    else:
        row.skipped["bf16"] = "this CPU has no bfloat16 instructions"
    found: dict[str, list[float]] = {name: [] for name in procedures}
    cores = usable_cpus()
    with _side_by_side(data_dir, method, cores) as trials:
        found["ltbench side by side"] = []
        for _ in range(material.rounds):
            for name, seconds in procedures.items():
                found[name].append(1 / seconds())
            found["ltbench side by side"].append(trials.images_per_second())
    for name, values in found.items():
        row.measured[name] = ("images/s", Spread.of(values))
        if name != "published":
            row.ratios[name] = ratio(values, found["published"])
    row.notes.append(
        f"each round: {STEPS} steps of {BATCH} images after {WARM} that fill the pipeline; side by "
        f"side: {cores} trials with one thread each, as a run of several trials does, their images "
        "together"
    )
    return row


def _published(material: Material, published: Published, name: str) -> Callable[[], float]:
    method = material.method(name)
    network = published.network(
        build_network("resnet32", 100, method.architecture(), generator("network", 0))
    )
    recipe = material.protocol.recipe
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=0.01,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )

    def seconds_per_image() -> float:
        network.train()
        batches = published.training_batches(material.train, material.train_labels)
        for _ in range(WARM):
            published.train_step(network, optimizer, method, *next(batches))
        began = time.perf_counter()
        for _ in range(STEPS):
            published.train_step(network, optimizer, method, *next(batches))
        return (time.perf_counter() - began) / (STEPS * BATCH)

    return seconds_per_image


class Trainer:
    """The training loop's own step on the long-tailed training set."""

    def __init__(
        self, material: Material, name: str, *, bf16: bool = False, compile: bool = False
    ) -> None:
        method, recipe = material.method(name), material.protocol.recipe
        cpu = torch.device("cpu")
        network = build_network("resnet32", 100, method.architecture(), generator("network", 0))
        network.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=0.01,
            momentum=recipe.momentum,
            nesterov=True,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        images = torch.from_numpy(material.train).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(material.train_labels)
        mean, std = material.normalisation()
        self.feed = ResidentFeed(images, recipe, mean, std, 0, cpu)
        self.count = len(images)
        self.rng = torch.Generator().manual_seed(0)
        self.step = Step(
            network, compiled(network.with_features) if compile else network.with_features,
            optimizer, method, self.feed, labels, bf16,
        )  # fmt: skip

    def run(self, steps: int) -> None:
        # An epoch's draws at once, as the loop does, for as many images as are used.
        order = torch.randperm(self.count, generator=self.rng)[: steps * BATCH]
        batches = [slice(i, i + BATCH) for i in range(0, steps * BATCH, BATCH)]
        for ticket in self.feed.tickets(0, order, batches):
            self.step(Given(ticket), 0.0, self.rng)

    def seconds_per_image(self) -> float:
        self.run(WARM)
        began = time.perf_counter()
        self.run(STEPS)
        return (time.perf_counter() - began) / (STEPS * BATCH)


class _side_by_side:
    """One trainer in each of several processes, with one thread each, waiting between rounds."""

    def __init__(self, data_dir: Path | None, method: str, count: int) -> None:
        self._count = count
        context = multiprocessing.get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, context, _start, (data_dir, method)) for _ in range(count)
        ]

    def __enter__(self) -> _side_by_side:
        for future in [pool.submit(_work) for pool in self._pools]:
            future.result()
        return self

    def __exit__(self, *exception: object) -> None:
        for pool in self._pools:
            pool.shutdown()

    def images_per_second(self) -> float:
        """Images of all together per second; each reports its own rate while the others run."""
        return sum(future.result() for future in [pool.submit(_work) for pool in self._pools])


_trainer: Any = None


def _start(data_dir: Path | None, method: str) -> None:
    global _trainer
    torch.set_num_threads(1)
    _trainer = Trainer(materials.load(data_dir, 1), method)


def _work() -> float:
    return 1 / float(_trainer.seconds_per_image())
