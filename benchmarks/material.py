"""What the rows work on: CIFAR-100-LT as the protocol draws it, on real or on random images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import ltbench
from ltbench.data.dataset import ArrayDataset, Splits
from ltbench.data.sources import open_data
from ltbench.method import Method
from ltbench.protocol.protocol import Protocol
from ltbench.task import Task, build_task


@dataclass(frozen=True)
class Material:
    """``train`` and ``test`` are (N, 32, 32, 3) uint8, as the published code holds them."""

    protocol: Protocol
    task: Task
    images: str
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    rounds: int

    def method(self, name: str) -> Method:
        return ltbench.get_method(name, torch.from_numpy(self.task.train.counts))

    def normalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        data = self.protocol.data
        return torch.tensor(data.mean), torch.tensor(data.std)


def load(data_dir: Path | None, rounds: int) -> Material:
    """Real images where ``data_dir`` names them; otherwise random ones of the same number and size.

    No time depends on what is in a picture; accuracies of random images mean nothing and none is
    printed.
    """
    protocol = ltbench.load_protocol("cifar100-lt", **{"test.draws": 1})
    splits = open_data(protocol.data, data_dir, download=False) if data_dir else _random_splits()
    task = build_task(protocol, splits)
    train = splits.train.read(task.train.indices)
    return Material(
        protocol=protocol,
        task=task,
        images="CIFAR-100" if data_dir else "random images of CIFAR-100's number and size",
        train=np.ascontiguousarray(train.transpose(0, 2, 3, 1)),
        train_labels=splits.train.labels[task.train.indices],
        test=np.ascontiguousarray(
            splits.test.read(np.arange(len(splits.test))).transpose(0, 2, 3, 1)
        ),
        test_labels=np.array(splits.test.labels),
        rounds=rounds,
    )


def _random_splits() -> Splits:
    rng = np.random.default_rng(0)
    names = tuple(str(c) for c in range(100))

    def part(each: int) -> ArrayDataset:
        labels = rng.permutation(np.repeat(np.arange(100), each))
        images = rng.integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
        return ArrayDataset(images, labels, names)

    return Splits(part(500), part(100), "random")
