"""Trials that are threads of one process: the bits that each has alone, and none falls with another.

A CPU stands in for the GPU: the engine, the process with its threads and their turns are the real ones, CUDA
streams are left out.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from torch import nn

from ltbench.cli.options import NumberOrAuto
from ltbench.execute import process
from ltbench.execute.engine import Engine, Start
from ltbench.execute.engines import streams
from ltbench.execute.engines.here import Local
from ltbench.execute.engines.local import LocalEngine
from ltbench.execute.engines.streams import StreamsEngine
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run import Outcome, execute
from ltbench.seeds import everybodys_generator
from ltbench.train.arithmetic import tf32, tf32_flags
from tests.in_process import unchecked
from tests.zygote import forked_workers

PLUGINS = '''
import os
import torch
from torch import nn
from torch.nn import functional as F
from ltbench import Method


class Base(Method):
    def loss(self, logits, targets, *, progress, rng=None):
        if progress >= 0.5 and len(targets) > 15:
            self.go_too_far()
        return F.cross_entropy(logits[:, 0], targets)


class Raising(Base):
    """Fails in its second epoch."""

    name = title = "raising"

    def go_too_far(self):
        raise ValueError("enough")


class Dying(Base):
    """Takes its process with it."""

    name = title = "dying"

    def go_too_far(self):
        os._exit(3)


class Drawing(Base):
    """Builds a layer whose weights come from everybody's generator."""

    name = title = "drawing"

    def build(self, network):
        return nn.Linear(8, 8)

    def go_too_far(self):
        pass
'''


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugins") / "beside.py"
    path.write_text(PLUGINS)
    return str(path)


def plan_of(folder: Path, methods: str, plugins: str = "", **changes: Any) -> Plan:
    quick = {"recipe.epochs": 2, "test.draws": 2, "test.ratios": (2,), "views.pairs": 1}
    quick |= {"train.max_count": 60, "train.imbalance": 30}
    asked: dict[str, Any] = {"device": "cpu", "seeds": (0,), "overrides": quick, "jobs": 2}
    files = (plugins,) if plugins else ()
    return prepare(
        Request(methods, "digits-lt", results=folder, plugins=files, **(asked | changes))
    )


def run(plan: Plan, engine: Engine) -> tuple[Outcome, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    outcome = execute(
        plan,
        listen=lambda planned, event: told.append((planned.label, event["event"])),
        engine=engine,
    )
    return outcome, told


def stored(folder: Path) -> dict[str, tuple[str, bytes, Any]]:
    """By method and seed: digest of the weights, logits, distributions of the rows."""
    found = {}
    for path in folder.rglob("trial.json"):
        record = json.loads(path.read_text())
        rows = {
            row.name: {
                name: entry["draws"]
                for name, entry in json.loads(row.read_text()).get("distributions", {}).items()
            }
            for row in sorted((path.parent / "evaluations").glob("*.json"))
        }
        key = f"{record['training']['name']}-{record['seed']}"
        logits = next(path.parent.glob("logits*")).read_bytes()
        found[key] = record["weights_sha256"], logits, rows
    return found


@pytest.fixture(autouse=True)
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    forked_workers(monkeypatch)
    unchecked(monkeypatch)


@pytest.fixture
def processes(forks: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that train several trials."""
    started: list[str] = []

    def start(gpu: str = "", module: str = "worker") -> process.WorkerProcess:
        started.append(module)
        return process.start_worker(gpu, module)

    monkeypatch.setattr(streams, "start_worker", start)
    return started


def test_three_trials_of_one_process_have_the_bits_that_each_has_alone(
    tmp_path: Path, plugins: str, processes: list[str]
) -> None:
    methods = "ce,sade,drawing"
    alone, _ = run(plan_of(tmp_path / "alone", methods, plugins), LocalEngine(1))
    beside, told = run(plan_of(tmp_path / "beside", methods, plugins), StreamsEngine(3))
    assert not alone.failures + beside.failures
    assert processes == ["threads"]
    kinds = [kind for _, kind in told]
    assert kinds.count("done") == 3
    began = [place for place, kind in enumerate(kinds) if kind == "started"]
    assert kinds.index("trained") > began[2]  # all were under way before one was trained
    expected, found = stored(tmp_path / "alone"), stored(tmp_path / "beside")
    assert set(expected) == {"ce-0", "sade-0", "drawing-0"}
    assert found == expected
    assert all(rows for _, _, rows in expected.values())


def test_one_that_fails_leaves_the_others(
    tmp_path: Path, plugins: str, processes: list[str]
) -> None:
    outcome, _ = run(plan_of(tmp_path, "ce,raising", plugins), StreamsEngine(2))
    assert len(outcome.finished) == 1
    assert [failure.error for failure in outcome.failures] == ["ValueError: enough"]
    assert set(stored(tmp_path)) == {"ce-0"}
    assert processes == ["threads"]


def test_one_that_ends_the_process_fails_alone(tmp_path: Path, plugins: str) -> None:
    outcome, _ = run(plan_of(tmp_path, "ce,dying", plugins), StreamsEngine(2))
    assert len(outcome.finished) == 1
    (failure,) = outcome.failures
    assert "ended with code 3" in failure.error
    assert set(stored(tmp_path)) == {"ce-0"}


def test_a_stop_leaves_a_checkpoint_of_each(tmp_path: Path) -> None:
    changes = {"overrides": {"recipe.epochs": 400, "test.draws": 2, "test.ratios": (2,)}}
    plan, engine = plan_of(tmp_path, "ce,balanced-softmax", **changes), StreamsEngine(2)
    told: list[tuple[str, str]] = []

    def listen(planned: Any, event: dict[str, Any]) -> None:
        told.append((planned.label, event["event"]))
        if len({label for label, kind in told if kind == "epoch"}) == 2:
            engine.stop()

    outcome = execute(plan, listen=listen, engine=engine)
    assert [kind for _, kind in told].count("interrupted") == 2
    assert not outcome.finished
    assert not outcome.failures
    assert all(list(planned.folder.glob("checkpoint*")) for planned in plan.trials)


def test_auto_asks_the_local_engine_for_threads(tmp_path: Path) -> None:
    chosen = Local().start(Start(4, 9, tmp_path, 1.0, jobs_per_gpu="auto"))
    assert isinstance(chosen, StreamsEngine)
    assert chosen.slots == 4
    assert isinstance(Local().start(Start(4, 9, tmp_path, 1.0, jobs_per_gpu=4)), LocalEngine)


@pytest.mark.parametrize(("text", "expected"), [("auto", "auto"), ("3", 3)])
def test_the_option_takes_a_number_or_the_word(text: str, expected: object) -> None:
    assert NumberOrAuto().convert(text, None, None) == expected
    with pytest.raises(click.BadParameter, match="'some' is neither a whole number nor auto"):
        NumberOrAuto().convert("some", None, None)


# -- turns -----------------------------------------------------------------------------------------


def test_a_thread_that_wants_other_flags_waits_and_nobody_overtakes_it() -> None:
    before, order = tf32_flags(), list[str]()
    first_in, go = threading.Event(), threading.Event()

    def training(name: str) -> None:
        with tf32(convolutions=True):
            order.append(f"{name} {tf32_flags()['convolutions']}")
            first_in.set()
            go.wait(10)
            order.append(f"{name} {tf32_flags()['convolutions']}")

    def evaluating() -> None:
        with tf32(convolutions=False), tf32(convolutions=False):
            order.append(f"evaluation {tf32_flags()['convolutions']}")

    threads = [threading.Thread(target=training, args=("a",))]
    threads[0].start()
    assert first_in.wait(10)
    for target, arguments in ((evaluating, ()), (training, ("b",))):
        threads.append(threading.Thread(target=target, args=arguments))
        threads[-1].start()
        time.sleep(0.05)  # who comes first stands first
    assert order == ["a True"]
    go.set()
    for thread in threads:
        thread.join(10)
    assert order == ["a True", "a True", "evaluation False", "b True", "b True"]
    assert tf32_flags() == before


def test_threads_with_the_same_flags_go_on_together_and_the_last_one_restores_them() -> None:
    before, meeting = tf32_flags(), threading.Barrier(2)
    other = not before["convolutions"]
    seen: list[bool] = []

    def both(stays: bool) -> None:
        with tf32(convolutions=other):
            meeting.wait(10)
            if not stays:
                return
            leaver.join(10)
            seen.append(tf32_flags()["convolutions"])

    leaver = threading.Thread(target=both, args=(False,))
    stayer = threading.Thread(target=both, args=(True,))
    leaver.start()
    stayer.start()
    leaver.join(10)
    stayer.join(10)
    assert seen == [other]
    assert tf32_flags() == before


def test_each_thread_has_its_own_draws_of_everybodys_generator() -> None:
    with everybodys_generator(3):
        alone = nn.Linear(4, 4).weight.detach().clone()
    state = torch.get_rng_state()
    found: list[bool] = []

    def build() -> None:
        for _ in range(40):
            with everybodys_generator(3):
                time.sleep(0)
                found.append(torch.equal(nn.Linear(4, 4).weight, alone))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [True] * 160
    assert torch.equal(torch.get_rng_state(), state)
