"""A recorded step is the eager step; CUDA graphs are played by a stand-in with their rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.train import step as module
from ltbench.train.loop import Hooks, TrainingJob, train

MakeJob = Callable[..., TrainingJob]


class StandIn:
    """Runs what it recorded on every replay, into the tensor that the recording returned.

    Like a CUDA graph it runs nothing while recording, and Python values are those of the recording.
    """

    made: list[StandIn]

    def __init__(self) -> None:
        self.warmed = self.replayed = 0
        self.work: Callable[[], Tensor] | None = None
        self.result = torch.full((), float("nan"))
        self.made.append(self)

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        assert self.work is None
        self.warmed += 1
        return work()

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        assert self.work is None
        self.work = work
        return self.result

    def replay(self) -> None:
        assert self.work is not None
        self.replayed += 1
        self.result.copy_(self.work())


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    made: list[StandIn] = []
    monkeypatch.setattr(StandIn, "made", made, raising=False)
    monkeypatch.setattr(module, "CudaGraph", StandIn)
    return made


def run(job: TrainingJob) -> tuple[dict[str, Tensor], list[float]]:
    network, progress = train(job, Hooks(), {})
    return network.state_dict(), [record["loss"] for record in progress.history]


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["ce", "sade", "ride"])
def test_a_recorded_training_has_the_bits_of_the_eager_one(
    make_job: MakeJob, graphs: list[StandIn], method: str
) -> None:
    eager = run(make_job(method, epochs=20))
    assert not graphs
    recorded = run(make_job(method, epochs=20, cuda_graph=True))
    assert equal(eager[0], recorded[0])
    assert eager[1] == recorded[1]
    assert sum(graph.replayed for graph in graphs) > 20
    # Three steps an epoch of 21 images, none lost: two of eight images and one of five.
    assert sum(graph.warmed + graph.replayed for graph in graphs) == 60


def test_strong_augmentation_is_recorded_with_its_draws(
    make_job: MakeJob, graphs: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltbench.train.strong._chooses_rows", lambda device: False)
    eager = run(make_job("ce", epochs=8, augment="autoaugment+cutout"))
    recorded = run(make_job("ce", epochs=8, augment="autoaugment+cutout", cuda_graph=True))
    assert equal(eager[0], recorded[0])
    assert eager[1] == recorded[1]
    assert sum(graph.replayed for graph in graphs) > 4


def test_a_new_learning_rate_is_recorded_anew(make_job: MakeJob, graphs: list[StandIn]) -> None:
    """Warm-up of one epoch, full rate, two milestones: three rates, two batch sizes each."""
    run(make_job("ce", epochs=20, warmup_epochs=1, cuda_graph=True))
    assert len(graphs) == 6


def test_a_new_stage_of_the_loss_is_recorded_anew(
    make_job: MakeJob, graphs: list[StandIn], toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of the contract: every epoch may have another loss."""

    def halved_late(logits: Tensor, targets: Tensor, progress: float, rng: Any) -> Tensor:
        loss = F.cross_entropy(logits[:, 0], targets)
        return loss if progress < 0.5 else 0.5 * loss

    toy.replace = halved_late
    settings = {"epochs": 6, "batch_size": 3, "milestones": (0.99,)}
    eager = run(make_job(toy, **settings))
    recorded = run(make_job(toy, **settings, cuda_graph=True))
    assert equal(eager[0], recorded[0])
    assert len(graphs) == 6
    # A method that names a stage wrongly would train on with the recorded loss: the test can fail.
    monkeypatch.setattr(type(toy), "loss_stage", lambda self, progress: 0)
    assert not equal(eager[0], run(make_job(toy, **settings, cuda_graph=True))[0])


def test_a_loss_that_samples_is_never_recorded(
    make_job: MakeJob, graphs: list[StandIn], toy: Any
) -> None:
    def noisy(logits: Tensor, targets: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        return F.cross_entropy(logits[:, 0] + torch.rand(3, generator=rng), targets)

    toy.replace = noisy
    eager = run(make_job(toy, epochs=6))
    recorded = run(make_job(toy, epochs=6, cuda_graph=True))
    assert equal(eager[0], recorded[0])
    assert [graph.work for graph in graphs] == [None]


def test_a_recording_keeps_no_batch_of_the_caller(
    make_job: MakeJob, graphs: list[StandIn], toy: Any
) -> None:
    """Losses are cloned: the tensor that a replay fills is filled again by the next."""
    losses = run(make_job(toy, epochs=12, cuda_graph=True))[1]
    assert len(set(losses)) == 12


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("method", ["ce", "ride"])
def test_real_cuda_graphs_train_like_eager_steps(make_job: MakeJob, method: str) -> None:
    device = torch.device("cuda")
    eager = run(make_job(method, epochs=20, device=device))
    recorded = run(make_job(method, epochs=20, device=device, cuda_graph=True))
    for name, expected in eager[0].items():
        assert torch.allclose(recorded[0][name], expected, atol=1e-4, rtol=1e-3), name
