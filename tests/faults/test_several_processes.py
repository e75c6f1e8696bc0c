"""Several processes in one trial, end to end: like one, killed in the middle, continued by one."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ltbench.execute import ranks
from ltbench.execute.job import trial_folder
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.worker import run_message
from ltbench.trial.claim import BusyError, claim
from ltbench.trial.claim_file import CLAIM
from ltbench.trial.holder import SILENCE, Holder
from tests.zygote import forked_workers

OVERRIDES = {"recipe.norm_batch": 16, "test.draws": 2, "test.ratios": (2,)}
OVERRIDES |= {"train.max_count": 30, "train.imbalance": 30}


class Scene:
    """What a driver would do for one trial, with its worker in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 3) -> None:
        self.results, self.overrides = folder, OVERRIDES | {"recipe.epochs": epochs}
        monkeypatch.setenv("LTBENCH_CHECKPOINT_SECONDS", "0")
        self.pids: list[int] = []
        started = ranks.start_worker

        def noted(*arguments: Any, **changes: Any) -> Any:
            process = started(*arguments, **changes)
            self.pids.append(process.popen.pid)
            return process

        forked_workers(monkeypatch)
        monkeypatch.setattr(ranks, "start_worker", noted)

    def run(
        self, processes: int, kill: bool = False, stop: bool = False, threads: int = 0
    ) -> list[dict[str, Any]]:
        request = Request(
            "focal", "digits-lt", seeds=(0,), results=self.results, device="cpu", jobs=1,
            overrides=self.overrides, processes=processes,
        )  # fmt: skip
        plan = prepare(request)
        (planned,) = plan.trials
        self.folder = trial_folder(planned.job.settings, planned.trial)
        self.folder.mkdir(parents=True, exist_ok=True)
        message = json.loads(json.dumps({**planned.job.to_json(), "folder": str(self.folder)}))
        message["settings"]["threads"] = threads or processes
        events: list[dict[str, Any]] = []
        asked = threading.Event()

        def emit(event: dict[str, Any]) -> None:
            events.append(event)
            if event["event"] == "epoch" and event["epoch"] == 1:
                if kill:
                    os.kill(self.pids[-1], signal.SIGKILL)
                if stop:
                    asked.set()

        run_message(message, emit, asked)
        return events

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "trial.json").read_text())
        return found

    def losses(self) -> torch.Tensor:
        lines = (self.folder / "history.jsonl").read_text().splitlines()
        return torch.tensor([json.loads(line)["loss"] for line in lines])


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(tmp_path_factory.mktemp("one"), patch)
        assert scene.run(1)[-1]["event"] == "done"
    assert not scene.pids
    return scene


def assert_like(one: Scene, other: Scene) -> None:
    """Up to what float32 makes of another order of sums in up to three epochs."""
    assert one.folder.name == other.folder.name  # the number of processes is not hashed
    mine, theirs = (load_file(scene.folder / "logits.safetensors") for scene in (one, other))
    distance = (mine["logits"] - theirs["logits"]).norm() / mine["logits"].norm()
    assert distance < 1e-3
    assert torch.allclose(one.losses(), other.losses(), rtol=1e-4)


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_f09_what_a_dead_process_held_is_free(place: str, tmp_path: Path) -> None:
    """Of this machine at once; of another host once its last sign of life is old, not before."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    changes = {"pid": done.pid, "token": "gone"}
    if place == "elsewhere":
        changes |= {"host": "node7", "machine": "another"}
    lease = tmp_path / CLAIM
    lease.write_bytes(dataclasses.replace(Holder.here(), **changes).to_bytes())
    if place == "elsewhere":
        with pytest.raises(BusyError) as busy, claim(tmp_path):
            pass
        assert "on node7" in str(busy.value.holder)
        then = time.time() - SILENCE - 5
        os.utime(lease, (then, then))
    with claim(tmp_path) as held:
        assert Holder.from_bytes(lease.read_bytes()) == held.holder
    assert list(tmp_path.iterdir()) == []


def test_f04_two_processes_are_stopped_and_train_like_one(
    one: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Scene(tmp_path, monkeypatch)
    assert two.run(2, stop=True)[-1]["event"] == "interrupted"
    assert (two.folder / "checkpoint.safetensors").exists()
    events = two.run(2)
    assert events[-1]["event"] == "done"
    # Told by the first process alone, and none of them twice.
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [2, 3]
    assert len(two.pids) == 4
    assert_like(one, two)
    record = two.record()
    assert record["environment"]["processes"] == 2
    assert not record["resumed_elsewhere"]
    assert "processes" not in one.record()["environment"]


def test_f01_a_killed_process_ends_the_trial_and_another_number_continues(
    one: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    last = scene.run(2, kill=True)[-1]
    assert last["event"] == "failed"
    assert last["error"] == (
        "process 2 of 2 of the trial ended with code -9 (a crash, or killed from outside); the same "
        "command continues"
    )
    assert json.loads((scene.folder / "failed.json").read_text())["error"] == last["error"]
    for pid in scene.pids:  # none is left
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    events = scene.run(1)
    assert events[-1]["event"] == "done"
    assert [e["epoch"] for e in events if e["event"] == "epoch"] == [2, 3]
    record = scene.record()
    assert record["resumed_elsewhere"]
    assert [e.get("processes", 1) for e in record["environments"]] == [2, 1]
    assert_like(one, scene)


def test_f25_threads_are_recorded_and_change_rounding_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four may sum in another order than one."""
    one, four = (Scene(tmp_path / name, monkeypatch, epochs=1) for name in ("one", "four"))
    before = torch.get_num_threads()
    try:
        assert one.run(1)[-1]["event"] == "done"
        # Two on two busy cores would wait in loops for each other; more threads than cores do not.
        assert four.run(1, threads=4)[-1]["event"] == "done"
    finally:
        torch.set_num_threads(before)
    assert [scene.record()["environment"]["threads"] for scene in (one, four)] == [1, 4]
    assert_like(one, four)
