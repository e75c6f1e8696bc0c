"""A recorded step is the eager step; CUDA graphs are played by a stand-in with their rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.errors import ContractError, InterruptedRun
from ltbench.train import step as module
from ltbench.train.checkpoint import FILE
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.train.speed import Speed

MakeJob = Callable[..., TrainingJob]
GRAPH = Speed(cuda_graph=True)


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
    """One eager step before a recording: what CUDA needs more of them for, the stand-in has not."""
    made: list[StandIn] = []
    monkeypatch.setattr(module, "WARM_STEPS", 1)
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
    eager = run(make_job(method, epochs=4))
    assert not graphs
    recorded = run(make_job(method, epochs=4, speed=GRAPH))
    assert equal(eager[0], recorded[0])
    assert eager[1] == recorded[1]
    assert sum(graph.replayed for graph in graphs) > 4
    # Three steps an epoch of 21 images, none lost: two of eight images and one of five.
    assert sum(graph.warmed + graph.replayed for graph in graphs) == 12


def test_strong_augmentation_is_recorded_with_its_draws(
    make_job: MakeJob, graphs: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltbench.train.strong._chooses_rows", lambda device: False)
    eager = run(make_job("ce", epochs=4, augment="autoaugment+cutout"))
    recorded = run(make_job("ce", epochs=4, augment="autoaugment+cutout", speed=GRAPH))
    assert equal(eager[0], recorded[0])
    assert eager[1] == recorded[1]
    assert sum(graph.replayed for graph in graphs) > 4


@pytest.mark.parametrize("head_lr", [None, 0.02])
def test_a_new_learning_rate_needs_no_new_recording(
    make_job: MakeJob, graphs: list[StandIn], head_lr: float | None
) -> None:
    """Warm-up of two epochs and two milestones: four rates (of heads others), and two batch sizes."""
    settings = {"epochs": 16, "warmup_epochs": 2, "head_lr": head_lr}
    eager, told = train(make_job("ce", **settings), Hooks(), {})
    network, progress = train(make_job("ce", **settings, speed=GRAPH), Hooks(), {})
    assert len({record["lr"] for record in told.history}) == 4
    assert told.history[0]["lr"] == progress.history[0]["lr"]  # a number, not a tensor
    assert len(graphs) == 2
    assert equal(eager.state_dict(), network.state_dict())


def test_rates_in_tensors_change_no_checkpoint(make_job: MakeJob, graphs: list[StandIn]) -> None:
    """What an eager process left is gone on with by recorded steps, and the other way round."""
    whole = run(make_job("ce"))[0]
    for first, second in ((GRAPH, Speed()), (Speed(), GRAPH)):
        done: list[int] = []
        hooks = Hooks(lambda record, done=done: done.append(1), lambda done=done: len(done) >= 2)  # type: ignore[misc]
        with pytest.raises(InterruptedRun):
            train(make_job("ce", store=True, speed=first), hooks, {})
        job = make_job("ce", store=True, speed=second)
        assert job.folder is not None
        assert equal(whole, run(job)[0])
        (job.folder / FILE).unlink()


class Refusing(StandIn):
    """As CUDA where a step waits for the device while it is recorded."""

    def record(self, work: Callable[[], Tensor]) -> Tensor:
        raise RuntimeError(
            "CUDA error: operation not permitted when stream is capturing\nmore of it"
        )


def test_a_step_that_cannot_be_recorded_stays_eager_and_the_record_says_why(
    make_job: MakeJob, graphs: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CudaGraph", Refusing)
    eager = run(make_job("ce", epochs=2))
    job = make_job("ce", epochs=2, speed=Speed(cuda_graph=True, gives_up=True))
    network, progress = train(job, Hooks(), {})
    assert equal(eager[0], network.state_dict())
    (environment,) = progress.environments
    assert environment["cuda_graph"] is False
    why = "RuntimeError: CUDA error: operation not permitted when stream is capturing"
    assert environment["cuda_graph_refused"] == why


def test_who_asked_for_recordings_by_name_is_told_that_there_are_none(
    make_job: MakeJob, graphs: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CudaGraph", Refusing)
    with pytest.raises(ContractError, match=r"'ce': its step cannot be recorded .* --speed plain"):
        run(make_job("ce", epochs=2, speed=GRAPH))


def test_a_new_stage_of_the_loss_is_recorded_anew(
    make_job: MakeJob, graphs: list[StandIn], toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of the contract: every epoch may have another loss."""

    def halved_late(logits: Tensor, targets: Tensor, progress: float, rng: Any) -> Tensor:
        loss = F.cross_entropy(logits[:, 0], targets)
        return loss if progress < 0.5 else 0.5 * loss

    toy.replace = halved_late
    settings = {"batch_size": 7, "milestones": (0.99,)}
    eager = run(make_job(toy, **settings))
    recorded = run(make_job(toy, **settings, speed=GRAPH))
    assert equal(eager[0], recorded[0])
    assert len(graphs) == 4
    # A method that names a stage wrongly would train on with the recorded loss: the test can fail.
    monkeypatch.setattr(type(toy), "loss_stage", lambda self, progress: 0)
    assert not equal(eager[0], run(make_job(toy, **settings, speed=GRAPH))[0])


def test_a_loss_that_samples_is_never_recorded(
    make_job: MakeJob, graphs: list[StandIn], toy: Any
) -> None:
    def noisy(logits: Tensor, targets: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        return F.cross_entropy(logits[:, 0] + torch.rand(3, generator=rng), targets)

    toy.replace = noisy
    eager = run(make_job(toy, epochs=2))
    recorded = run(make_job(toy, epochs=2, speed=GRAPH))
    assert equal(eager[0], recorded[0])
    assert [graph.work for graph in graphs] == [None]


def test_a_recording_keeps_no_batch_of_the_caller(
    make_job: MakeJob, graphs: list[StandIn], toy: Any
) -> None:
    """Losses are cloned: the tensor that a replay fills is filled again by the next."""
    toy.loss_stage = lambda progress: 0
    losses = run(make_job(toy, speed=GRAPH))[1]
    assert sum(graph.replayed for graph in graphs) == 10
    assert len(set(losses)) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("method", ["ce", "ride"])
def test_real_cuda_graphs_train_like_eager_steps(make_job: MakeJob, method: str) -> None:
    device = torch.device("cuda")
    eager = run(make_job(method, epochs=20, device=device))
    recorded = run(make_job(method, epochs=20, device=device, speed=GRAPH))
    for name, expected in eager[0].items():
        assert torch.allclose(recorded[0][name], expected, atol=1e-4, rtol=1e-3), name
