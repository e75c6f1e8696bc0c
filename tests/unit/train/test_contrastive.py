"""Queues, averages and slow copies in the one loop: resumed and recorded runs have the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ltbench import get_method
from ltbench.errors import InterruptedRun
from ltbench.train.loop import Hooks, TrainingJob
from tests.unit.train.conftest import COUNTS
from tests.unit.train.test_hooks import equal, run
from tests.unit.train.test_step import GRAPH
from tests.unit.train.test_step import graphs as graphs  # a fixture

MakeJob = Callable[..., TrainingJob]
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "paco": ("paco", {"queue": 20}),
    "gpaco": ("paco", {"queue": 20, "keys": "shared", "smoothing": 0.1}),
    "bcl": ("bcl", {}),
    "proco": ("proco", {}),
}
STATE = {
    "paco": ("extra.queue", "extra.labels", "extra.at", "extra.slow_network.conv.weight"),
    "gpaco": ("extra.queue", "extra.labels", "extra.at"),
    "bcl": ("extra.of_images.layers.0.weight", "extra.of_classes.layers.0.weight"),
    "proco": (
        *("extra.means", "extra.new_means", "extra.epoch", "extra.numbers"),
        "extra.project.layers.0.weight",
    ),
}


def job(make_job: MakeJob, row: str, **changes: Any) -> TrainingJob:
    name, hyper = ROWS[row]
    return make_job(get_method(name, COUNTS, **hyper), **changes)


@pytest.mark.parametrize("row", ROWS)
def test_what_is_remembered_moves_and_is_in_the_checkpoint_a_resume_gives_the_same_bits(
    make_job: MakeJob, row: str
) -> None:
    """21 images in batches of 8: the last one is smaller, and the queue goes round."""
    whole, progress = run(job(make_job, row, epochs=4))
    assert all(torch.isfinite(value).all() for value in whole.values())
    stored = []
    for epochs in (1, 2):  # stopped after epochs 1 and 3
        done: list[int] = []
        hooks = Hooks(
            lambda record, done=done: done.append(1),  # type: ignore[misc]
            lambda done=done, epochs=epochs: len(done) >= epochs,  # type: ignore[misc]
        )
        training = job(make_job, row, epochs=4, store=True)
        with pytest.raises(InterruptedRun):
            run(training, hooks)
        assert training.folder is not None
        stored.append(load_file(training.folder / "checkpoint.safetensors"))
    resumed, again = run(training)
    stored.append(load_file(training.folder / "checkpoint.safetensors"))
    assert equal(whole, resumed)
    assert [r["loss"] for r in progress.history] == [r["loss"] for r in again.history]
    for name in STATE[row]:
        assert not torch.equal(stored[0][name], stored[1][name]), name
        assert torch.equal(stored[2][name], resumed[name]), name


@pytest.mark.parametrize("row", ROWS)
def test_a_recorded_training_has_the_bits_of_the_eager_one(
    make_job: MakeJob, graphs: list[Any], row: str
) -> None:
    eager = run(job(make_job, row, epochs=3))
    recorded = run(job(make_job, row, epochs=3, speed=GRAPH))
    assert equal(eager[0], recorded[0])
    assert sum(graph.replayed for graph in graphs) > 4


@pytest.mark.parametrize("row", ["paco"])
def test_the_network_sees_the_queries_alone(make_job: MakeJob, row: str) -> None:
    """The keys go through the slow encoder: one pass of 21 images an epoch, not two."""
    training = job(make_job, row, epochs=1)
    seen: list[int] = []
    objective = training.method.objective

    def looked(step: Any) -> Tensor:
        seen.append(len(step.logits))
        assert len(step.notes[0]) == len(step.targets)
        return objective(step)

    training.method.objective = looked  # type: ignore[method-assign]
    run(training)
    assert seen == [1, 1, 1]
