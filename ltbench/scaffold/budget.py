"""How many epochs a machine can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ltbench.execute.estimate import cpu_training, gpu_step
from ltbench.method import Architecture
from ltbench.models.build import count_macs
from ltbench.trial.environment import resolve_device

_EPOCHS = (200, 100, 60, 40, 20, 10)
_SECONDS = 600  # of one training of one network: what one waits for
BACKBONE = "resnet32"


@dataclass(frozen=True)
class Budget:
    """``seconds``: by number of experts, of one training; estimated. ``device``: where, in words."""

    epochs: int
    batch_size: int
    lr: float
    seconds: dict[int, float]
    device: str


def choose_budget(images: int, classes: int, image_size: int) -> Budget:
    """The most epochs by which one network trains in ten minutes here, 10 at least.

    images: of the training set. Batches are smaller where images are few, the learning rate is
    proportional to the batch (0.1 at 128, as published for CIFAR).
    """
    batch = 128 if images >= 5000 else 64 if images >= 1000 else 32
    device = resolve_device("auto")
    threads = torch.get_num_threads()

    def seconds(experts: int, epochs: int) -> float:
        steps = epochs * -(-images // batch)
        if device.type != "cpu":
            return steps * gpu_step(experts, graph=device.type == "cuda")
        macs = count_macs(BACKBONE, classes, Architecture(experts=experts), image_size)
        return cpu_training(macs, epochs * images, steps, experts, threads)

    each = seconds(1, 1)
    epochs = next((n for n in _EPOCHS if n * each <= _SECONDS), _EPOCHS[-1])
    times = {experts: seconds(experts, epochs) for experts in (1, 3)}
    where = f"{threads} CPU threads" if device.type == "cpu" else f"one device ({device.type})"
    return Budget(epochs, batch, 0.1 * batch / 128, times, where)
