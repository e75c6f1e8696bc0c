"""How trials share processors and GPUs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ltbench.execute import resources
from ltbench.execute.resources import gpus_of_workers, share, visible_gpus

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "usable_cpus", lambda: 8)
    monkeypatch.setattr(resources, "_memory", lambda: 64 << 30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("jobs", "trials", "expected"),
    [
        (None, 25, (8, 1)),  # a core for each trial
        (None, 3, (3, 2)),  # fewer trials than cores: they share what is left
        (None, 1, (1, 8)),
        (None, 0, (1, 8)),  # all is finished
        (2, 25, (2, 4)),
        (20, 25, (20, 1)),
    ],
)
def test_trials_and_threads_on_a_cpu(
    jobs: int | None, trials: int, expected: tuple[int, int]
) -> None:
    assert share(jobs, None, trials, CPU) == expected


def test_memory_limits_trials_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_memory", lambda: 7 << 30)
    assert share(None, None, 25, CPU) == (2, 4)
    assert share(None, None, 25, CPU, memory=1 << 30) == (2, 4)  # never taken for less than usual
    assert share(None, None, 25, CPU, memory=5 << 30) == (1, 8)
    monkeypatch.setattr(resources, "_memory", lambda: 1 << 30)
    assert share(None, None, 25, CPU) == (1, 8)


@pytest.mark.parametrize(
    ("jobs", "per_gpu", "device", "expected"),
    [
        (None, None, "cuda", 2),  # one trial on each of two GPUs
        (None, 4, "cuda", 8),
        (None, 4, "cuda:1", 4),
        (3, 4, "cuda", 3),  # an explicit number wins
    ],
)
def test_trials_on_gpus(jobs: int | None, per_gpu: int | None, device: str, expected: int) -> None:
    assert share(jobs, per_gpu, 100, torch.device(device))[0] == expected


@pytest.mark.parametrize(
    ("gigabytes", "memory", "device", "expected"),
    [
        ((140, 140), 0, "cuda", 10),  # five on each of two
        ((140, 9), 0, "cuda", 4),  # the smallest decides
        ((140, 9), 0, "cuda:0", 5),
        ((140, 140), 60 << 30, "cuda", 4),
        ((2, 2), 0, "cuda", 2),
    ],
)
def test_as_many_trials_as_the_memory_of_a_gpu_holds(
    gigabytes: tuple[int, int],
    memory: int,
    device: str,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def properties(index: int) -> SimpleNamespace:
        return SimpleNamespace(total_memory=gigabytes[index] << 30)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert share(None, "auto", 100, torch.device(device), memory)[0] == expected
    assert share(None, "auto", 1, torch.device(device), memory)[0] == 1
    assert share(3, "auto", 100, torch.device(device), memory)[0] == min(3, 100)


def test_workers_are_dealt_out_among_the_gpus_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert visible_gpus(CPU) == [""]
    assert visible_gpus(torch.device("cuda:1")) == [""]
    assert visible_gpus(CUDA) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert visible_gpus(CUDA) == ["3", "5"]


def test_the_memory_of_this_machine_is_known() -> None:
    assert resources._memory() > 0


@pytest.mark.parametrize(
    ("processes", "expected"), [(1, (8, 1)), (2, (4, 2)), (3, (2, 4)), (8, (1, 8)), (9, (1, 8))]
)
def test_processes_of_a_trial_have_a_core_each(processes: int, expected: tuple[int, int]) -> None:
    assert share(None, None, 25, CPU, processes=processes) == expected


def test_processes_of_a_trial_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    assert gpus_of_workers(CUDA, 1) == ["0", "1", "2", "3", "4"]
    assert gpus_of_workers(CUDA, 2) == ["0,1", "2,3"]
    assert gpus_of_workers(CPU, 2) == [""]
    assert share(None, None, 25, CUDA, processes=2)[0] == 2
