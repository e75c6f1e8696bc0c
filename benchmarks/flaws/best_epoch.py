"""How far keeping the epoch with the best test accuracy flatters, as published CIFAR code does.

Trains as ``ltbench run`` does, looks at the test set after every epoch and compares the epoch with
the best uniform test accuracy (of equal ones the last, as published) with the last epoch. Nothing in
``ltbench`` can do this: a checkpoint of every epoch is read from outside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from benchmarks.flaws.finding import Finding, signed
from ltbench import get_method, load_protocol
from ltbench.data.dataset import channel_statistics
from ltbench.data.sources import open_data
from ltbench.models.build import build_network
from ltbench.report.rows.summary import Summary, summarise
from ltbench.seeds import generator
from ltbench.task import Task, build_task
from ltbench.train.infer import Inference
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.trial.store import CHECKPOINT

CHOOSING, OTHER = "uniform, choosing half", "uniform, other half"
Hits = NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """The test sets as index arrays: scores of one epoch from the ``(N,)`` hits of its network."""

    task: Task
    halves: tuple[NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def of(cls, task: Task) -> Judge:
        return cls(task, split_in_halves(task.splits.test.labels))

    def scores(self, hits: Hits) -> dict[str, float]:
        """Per cent by distribution, mean over its draws."""
        labels = np.asarray(self.task.splits.test.labels)
        return {
            one.name: float(
                np.mean([100 * hits[one.indices(labels, r)].mean() for r in range(one.draws)])
            )
            for one in self.task.test_sets
            if one.kind in ("forward", "uniform", "backward")
        }


def split_in_halves(labels: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two halves of the test images with the same number of images of each class, up to one."""
    rng = np.random.default_rng(0)
    labels = np.asarray(labels)
    first = []
    for c in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == c))
        first.append(own[: len(own) // 2])
    chosen = np.sort(np.concatenate(first))
    return chosen, np.setdiff1d(np.arange(len(labels)), chosen)


def epoch_hits(task: Task, name: str, seed: int) -> Hits:
    """``(epochs, N)``: which test images the method's own prediction gets right after each epoch."""
    protocol = task.protocol
    method = get_method(name, torch.from_numpy(task.train.counts))
    if protocol.data.mean is not None and protocol.data.std is not None:
        mean, std = protocol.data.mean, protocol.data.std
    else:
        mean, std = channel_statistics(task.splits.train, task.train.indices)
    chosen = task.train.indices
    labels = torch.from_numpy(np.array(task.splits.test.labels))
    cpu = torch.device("cpu")
    shell = build_network(
        protocol.model.backbone, protocol.data.classes, method.architecture(), generator("shell")
    ).to(memory_format=torch.channels_last)
    inference = Inference(shell, torch.tensor(mean), torch.tensor(std), cpu)
    found: list[Hits] = []
    with tempfile.TemporaryDirectory() as folder:

        def look(record: dict[str, Any]) -> None:
            tensors = load_file(Path(folder) / CHECKPOINT)
            weights = {
                key.removeprefix("network."): value
                for key, value in tensors.items()
                if key.startswith("network.")
            }
            shell.load_state_dict(weights)
            scores = method.predict(inference.dataset(task.splits.test))
            found.append((scores.argmax(dim=1) == labels).numpy())

        job = TrainingJob(
            trial="best-epoch",
            method=method,
            recipe=protocol.recipe_for(name),
            backbone=protocol.model.backbone,
            images=torch.from_numpy(task.splits.train.read(chosen)),
            labels=torch.from_numpy(task.splits.train.labels[chosen]),
            mean=torch.tensor(mean),
            std=torch.tensor(std),
            seed=seed,
            device=cpu,
            folder=Path(folder),
            checkpoint_seconds=0.0,
        )
        train(job, Hooks(on_epoch=look), {})
    return np.stack(found)


def best(accuracies: NDArray[np.float64]) -> int:
    """The epoch that published code keeps: the best, of equal ones the last (``>=``)."""
    return len(accuracies) - 1 - int(np.argmax(accuracies[::-1]))


def flattery(hits: Hits, judge: Judge) -> tuple[dict[str, float], int]:
    """Best minus last epoch in points by distribution, and the 1-based epoch that was chosen.

    ``OTHER``: the epoch is chosen on one half of the test images and scored on the other, mean of
    both ways; what remains there is no flattery but a better epoch. ``CHOOSING``: the same choices
    scored where they were made.
    """
    chosen = best(hits.mean(axis=1))
    last, kept = judge.scores(hits[-1]), judge.scores(hits[chosen])
    found = {name: kept[name] - last[name] for name in last}
    ways = (judge.halves, judge.halves[::-1])
    epochs = [best(hits[:, one].mean(axis=1)) for one, _ in ways]
    for name, place in ((CHOOSING, 0), (OTHER, 1)):
        gains = [
            100 * (hits[e, way[place]].mean() - hits[-1, way[place]].mean())
            for e, way in zip(epochs, ways, strict=True)
        ]
        found[name] = float(np.mean(gains))
    return found, chosen + 1


def measure(
    methods: Sequence[str],
    protocol_name: str,
    seeds: Sequence[int],
    budget: str,
    overrides: dict[str, Any] | None = None,
    data_dir: Path | None = None,
) -> Finding:
    """Best minus last epoch over seeds. Raises :class:`ltbench.errors.InputError` for a wrong name."""
    protocol = load_protocol(protocol_name, **(overrides or {}))
    task = build_task(protocol, open_data(protocol.data, data_dir, download=False))
    judge = Judge.of(task)
    rows, data = [], []
    for name in methods:
        found = [flattery(epoch_hits(task, name, seed), judge) for seed in seeds]
        epochs = [epoch for _, epoch in found]
        for distribution in found[0][0]:
            values = [gains[distribution] for gains, _ in found]
            summary = summarise(values)
            assert summary is not None
            rows.append(_line(name, distribution, summary, values))
            data.append(
                {
                    "row": f"{name}+none",
                    "distribution": distribution,
                    "n": len(values),
                    "best_minus_last": summary.mean,
                    "half_width_95": summary.half_width,
                    "seeds": list(seeds),
                    "values": values,
                    "chosen_epochs": epochs,
                }
            )
    return Finding(
        name=f"best-epoch-{protocol.name}",
        title=f"Best test epoch minus last epoch, top-1 points, {protocol.name}{budget}",
        columns=("row", "distribution", "n", "best minus last", "largest"),
        rows=tuple(rows),
        notes=(
            "The epoch is chosen by uniform test accuracy, of equal ones the last, as published, and "
            "kept for every distribution. Mean over the draws, then over n seeds; ± is the half-width "
            "of the 95 % t interval over seeds. Halves: chosen on one half of the test images, scored "
            "there and on the other, both ways; what is left on the other half would be a better "
            "epoch, the rest is flattery.",
        ),
        data={
            "protocol": protocol.name,
            "variant": protocol.variant,
            "test_images": len(task.splits.test),
            "rows": data,
        },
    )


def _line(name: str, where: str, summary: Summary, values: Sequence[float]) -> tuple[str, ...]:
    shown = signed(summary.mean, summary.half_width)
    return (f"{name}+none", where, str(len(values)), shown, signed(max(values)))
