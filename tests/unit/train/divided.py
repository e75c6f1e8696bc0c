"""Trainings in float64, alone or by several processes, for :mod:`test_divided_step`.

A module of its own: the processes import it anew.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltbench import get_method
from ltbench.protocol.protocol import Recipe
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.train.team import ALONE, Team

COUNTS = [12, 7, 3]
"""22 images in batches of 8: the last one is of 6. Two epochs are six steps."""
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "ce": ("ce", {}),  # a mean over images
    "sade": ("sade", {}),
    "ride": ("ride", {}),  # a loss of the whole batch
    "sam": ("sam", {}),  # two descents a step
    "remix": ("remix", {}),  # mixes images of all processes
    "paco": ("paco", {"queue": 20}),  # views, features, a slow copy, a queue
    "ncl": ("ncl", {}),  # whole networks
    "crt": ("crt", {}),  # phases, frozen statistics
    "proco": ("proco", {}),  # running means of features
}


def job(row: str, norm_batch: int | None, **changes: Any) -> TrainingJob:
    name, hyper = ROWS[row]
    rng = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    images = torch.randint(0, 256, (len(labels), 3, 8, 8), dtype=torch.uint8, generator=rng)
    recipe = Recipe(
        epochs=2, batch_size=8, lr=0.05, weight_decay=5e-4, warmup_epochs=1,
        crop_padding=1, flip=True, norm_batch=norm_batch,
    )  # fmt: skip
    made = TrainingJob(
        trial="abc", method=get_method(name, COUNTS, **hyper), recipe=recipe, backbone="resnet8",
        images=images, labels=labels, mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25), seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def trained(
    row: str, norm_batch: int | None, team: Team = ALONE, accumulate: int = 1
) -> dict[str, Tensor]:
    """Weights and statistics, in float64, and the losses."""
    usual, single = torch.get_default_dtype(), Tensor.float
    try:
        torch.set_default_dtype(torch.float64)
        Tensor.float = Tensor.double  # type: ignore[method-assign, assignment]
        network, progress = train(
            job(row, norm_batch, team=team, accumulate=accumulate), Hooks(), {}
        )
        losses = torch.tensor([record["loss"] for record in progress.history])
    finally:
        torch.set_default_dtype(usual)
        Tensor.float = single  # type: ignore[method-assign]
    return {**network.state_dict(), "losses": losses}


def member(rank: int, size: int, folder: str, asked: list[tuple[str, int, int]]) -> None:
    """Process ``rank``: every training of (row, norm_batch, accumulate); all ranks leave their weights."""
    torch.set_num_threads(1)
    team = Team.join(Path(folder) / "meeting", rank, size, torch.device("cpu"))
    found = {one: trained(one[0], one[1], team, one[2]) for one in asked}
    team.leave()
    torch.save(found, Path(folder) / f"{rank}.pt")
