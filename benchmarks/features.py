"""CPU seconds and megabytes of heads on random features with the shapes of ImageNet-LT and iNaturalist 2018.

    python -m benchmarks.features [--width 768] [--batch-size 128] [--steps 150] [--shapes imagenet-lt]

The project's own loop trains a cosine head with a class bias (`ce`) and three of them (`sade`) by LIFT's
recipe. CPU seconds on one thread, which others on the machine disturb least. All features lie in memory
as float16; one epoch over so many of them that it takes ``--steps`` steps is timed after one that warms
up, and an epoch over all is stated in proportion. Then heads are applied to as many features as the test
set has. Every case runs in a process of its own, so that the peak of resident memory is its own; torch
and the loop alone are shown as the case `nothing`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

import click
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.backbone import ChosenBackbone, FeatureModel
from ltbench.protocol.protocol import Recipe
from ltbench.registry import load_backbones
from ltbench.train.frozen_feed import LARGEST_BATCH, FeatureRows
from ltbench.train.loop import Hooks, TrainingJob, train

METHODS = ("ce", "sade")


@dataclass(frozen=True)
class Shape:
    """Training and test images and classes of a data set."""

    train: int
    test: int
    classes: int


SHAPES = {
    "nothing": Shape(4_096, 1_000, 10),
    "places-lt": Shape(62_500, 36_500, 365),
    "imagenet-lt": Shape(115_846, 50_000, 1000),
    "inat18-lt": Shape(437_513, 24_426, 8142),
}


def measure(shape: Shape, method: str, width: int, batch: int, steps: int) -> dict[str, float]:
    """CPU seconds of a step, an epoch and the test set, and the peak of resident memory in MB."""
    random = torch.Generator().manual_seed(0)
    stored = torch.empty(1, shape.train, width, dtype=torch.float16)
    for start in range(0, shape.train, LARGEST_BATCH):  # never all of it in float32
        part = stored[:, start : start + LARGEST_BATCH]
        part.copy_(torch.randn(part.shape, generator=random))
    used = min(shape.train, steps * batch)
    labels = torch.arange(used) % shape.classes
    done: list[float] = []
    recipe = Recipe(
        epochs=2, batch_size=batch, lr=0.01, nesterov=False, schedule="cosine", warmup_epochs=0
    )
    model = FeatureModel(width, head="cosine", scale=25.0)
    job = TrainingJob(
        trial="benchmark",
        method=get_method(method, [shape.train // shape.classes] * shape.classes),
        recipe=recipe,
        backbone=ChosenBackbone(load_backbones().get("frozen").cls, 0, model),
        images=FeatureRows(stored[:, :used]),
        labels=labels,
        mean=torch.zeros(0),
        std=torch.ones(0),
        seed=0,
        device=torch.device("cpu"),
    )
    network, _ = train(job, Hooks(on_epoch=lambda _: done.append(time.process_time())), {})
    step = (done[1] - done[0]) / -(-used // batch)
    began = time.process_time()
    with torch.inference_mode():
        for start in range(0, shape.test, LARGEST_BATCH):
            size = min(LARGEST_BATCH, shape.test - start)
            _apply(network, stored[0, :1].expand(size, width))
    return {
        "step": step,
        "epoch": step * -(-shape.train // batch),
        "test": time.process_time() - began,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def _apply(network: torch.nn.Module, features: Tensor) -> None:
    network(features.float())


@click.command(help=__doc__)
@click.option("--shapes", default="nothing,imagenet-lt,inat18-lt")
@click.option("--width", default=768, help="Numbers of a feature.")
@click.option("--batch-size", default=128)
@click.option("--steps", default=150, help="Of the epoch that is timed.")
@click.option("--case", hidden=True)
def main(shapes: str, width: int, batch_size: int, steps: int, case: str | None) -> None:
    if case is not None:
        torch.set_num_threads(1)
        name, method = case.split(",")
        click.echo(json.dumps(measure(SHAPES[name], method, width, batch_size, steps)))
        return
    click.echo(f"{width} numbers a feature, batches of {batch_size}\n")
    click.echo(
        "| shape | method | ms a step | CPU s an epoch | CPU s for the test set | peak, MB |"
    )
    click.echo("| :--- | :--- | ---: | ---: | ---: | ---: |")
    for name in shapes.split(","):
        for method in METHODS:
            asked = [sys.executable, "-m", "benchmarks.features", "--case", f"{name},{method}"]
            asked += ["--width", str(width), "--batch-size", str(batch_size)]
            asked += ["--steps", str(steps)]
            done = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout)
            click.echo(
                f"| {name} | `{method}` | {1000 * found['step']:.1f} | {found['epoch']:.0f} | "
                f"{found['test']:.1f} | {found['memory']:,.0f} |"
            )


if __name__ == "__main__":
    main()
