"""Trackers: what they are told, and that none of them can harm a trial."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.execute import tracking as module
from ltbench.execute.engine import Event
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run import execute
from ltbench.execute.tracking import choose_trackers, tracked


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    request = Request("ce", "digits-lt", seeds=(0, 1), results=tmp_path / "results", jobs=2)
    return prepare(request)


class Notes:
    """A tracker that writes down what it is told."""

    def __init__(self, results: Path) -> None:
        self.results, self.told = results, []
        NOTES.append(self)

    told: list[tuple[Any, ...]]

    def begin(self, trial: str, facts: Mapping[str, Any]) -> None:
        self.told.append(("begin", facts["label"], facts["protocol"], facts["trial"] == trial))

    def value(self, trial: str, name: str, value: float, step: int) -> None:
        self.told.append((name, value, step))

    def end(self, trial: str, status: str) -> None:
        self.told.append(("end", status))

    def close(self) -> None:
        self.told.append(("close",))


NOTES: list[Notes] = []


class Raises(Notes):
    def value(self, trial: str, name: str, value: float, step: int) -> None:
        super().value(trial, name, value, step)
        raise ConnectionError("no network")


class Script:
    """An engine whose trials tell these events."""

    slots, retries = 2, 0
    events: tuple[Event, ...] = (
        {"event": "started", "no_locks": ""},
        {"event": "epoch", "epoch": 1, "epochs": 2, "loss": 1.5, "seconds": 1.0},
        {"event": "stage", "stage": "views", "done": 1, "total": 4},
        {"event": "row", "label": "ce+none", "uniform": 61.5},
        {"event": "done"},
    )

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def submit(self, message: Mapping[str, Any]) -> None:
        self.jobs.append(str(message["trial"]))

    def poll(self, seconds: float) -> Iterable[tuple[str, Event]]:
        jobs, self.jobs = self.jobs, []
        return [(job, dict(event)) for job in jobs for event in self.events]

    def stop(self, *, now: bool = False) -> None: ...

    def close(self) -> None: ...


def run(plan: Plan, *kinds: type[Notes]) -> tuple[Any, list[Event]]:
    heard: list[Event] = []
    plan.trackers = {kind.__name__: kind for kind in kinds}
    NOTES.clear()
    outcome = execute(plan, listen=lambda planned, event: heard.append(event), engine=Script())
    return outcome, heard


def test_what_a_tracker_is_told(plan: Plan, tmp_path: Path) -> None:
    outcome, heard = run(plan, Notes)
    assert len(outcome.finished) == 2
    (notes,) = NOTES
    assert notes.results == tmp_path / "results"
    version = plan.protocol.version
    of_one = [
        ("loss", 1.5, 1),
        ("stage/views", 0.25, 1),
        ("uniform/ce+none", 61.5, 1),
        ("end", "done"),
    ]
    assert notes.told == [
        *[("begin", "ce seed 0", f"digits-lt {version}", True), *of_one],
        *[("begin", "ce seed 1", f"digits-lt {version}", True), *of_one],
        ("close",),
    ]
    assert not [event for event in heard if event["event"] == "tracker"]


def test_one_that_raises_is_told_once_and_harms_nothing(plan: Plan) -> None:
    outcome, heard = run(plan, Raises, Notes)
    assert len(outcome.finished) == 2
    assert not outcome.failures
    raises, notes = NOTES
    (line,) = [event["error"] for event in heard if event["event"] == "tracker"]
    assert line == ("tracker 'Raises' failed, trials go on without it: ConnectionError: no network")
    assert [told[0] for told in raises.told] == ["begin", "loss", "close"]
    assert len(notes.told) == 11


def test_one_that_cannot_start_or_end(plan: Plan) -> None:
    class Closed(Notes):
        def __init__(self, results: Path) -> None:
            raise RuntimeError("no key")

    class Stuck(Notes):
        def close(self) -> None:
            raise OSError("disk full")

    outcome, heard = run(plan, Closed, Stuck)
    assert len(outcome.finished) == 2
    lines = [event["error"] for event in heard if event["event"] == "tracker"]
    assert [line.partition(": ")[2] for line in lines] == [
        "RuntimeError: no key",
        "OSError: disk full",
    ]


def test_what_was_complete_is_not_told(plan: Plan) -> None:
    with tracked(lambda planned, event: None, {"notes": Notes}, Path()) as tell:
        NOTES.clear()
        tell(plan.trials[0], {"event": "done"})
    assert not NOTES


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(group: str) -> list[EntryPoint]:
        assert group == "ltbench.trackers"
        return [
            EntryPoint("notes", "somewhere:Notes", group),
            EntryPoint("number", "somewhere:number", group),
            EntryPoint("gone", "ltbench.no_such_module:Tracker", group),
        ]

    monkeypatch.setattr(module, "entry_points", found)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(EntryPoint, "load", lambda entry: {"notes": Notes, "number": 1}[entry.name])
    assert choose_trackers(["notes"]) == {"notes": Notes}
    for name, message in (
        ("wandb", r"tracker 'wandb' needs wandb, .*pip install 'ltbench\[wandb\]'"),
        ("number", r"tracker 'number' \(somewhere:number\) cannot be called"),
        ("gone", "tracker 'gone' cannot be imported: KeyError"),
        (
            "note",
            "unknown tracker 'note' .known: gone, mlflow, notes, number, .*did you mean 'notes'",
        ),
    ):
        with pytest.raises(InputError, match=message):
            choose_trackers([name])


class Calls:
    """Stands for a module: whatever is called is written down, and returns another one."""

    def __init__(self, calls: list[Any], name: str = "") -> None:
        self._calls, self._name = calls, name

    def __getattr__(self, name: str) -> Calls:
        return Calls(self._calls, f"{self._name}.{name}".strip("."))

    def __call__(self, *words: Any, **named: Any) -> Calls:
        self._calls.append((self._name, words, named))
        return Calls(self._calls, self._name)


def _told(kind: Any, results: Path) -> None:
    tracker = kind(results)
    tracker.begin("a" * 12, {"label": "sade[tau=1] seed 0", "protocol": "digits-lt 1.0"})
    tracker.value("a" * 12, "loss", 1.5, 3)
    tracker.end("a" * 12, "done")
    tracker.close()


def test_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []
    fake: Any = ModuleType("wandb")
    fake.init, fake.Settings = Calls(calls, "init"), dict
    monkeypatch.setitem(sys.modules, "wandb", fake)
    from ltbench.execute.trackers.wandb import Wandb

    _told(Wandb, tmp_path)
    (_, _, made), logged, ended = calls
    assert (made["id"], made["name"], made["resume"]) == ("a" * 12, "sade[tau=1] seed 0", "allow")
    assert made["dir"] == str(tmp_path / ".wandb")
    assert logged == ("init.log", ({"loss": 1.5, "loss.step": 3},), {})
    assert ended == ("init.finish", (), {"exit_code": 0})


def test_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []
    client = Calls(calls, "client")
    fake: Any = ModuleType("mlflow")
    fake.MlflowClient = lambda: client
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    run = SimpleNamespace(info=SimpleNamespace(run_id="r"))
    client.create_run = lambda *words, **named: run  # type: ignore[method-assign, assignment]
    from ltbench.execute.trackers.mlflow import MLflow

    tracker: Any = MLflow(tmp_path)
    tracker.begin("a", {"label": "ce seed 0"})
    tracker.value("a", "uniform/ce+tilt[a=1]", 50.0, 2)
    tracker.end("a", "failed")
    tracker.close()
    assert [call[:2] for call in calls[-2:]] == [
        ("client.log_metric", ("r", "uniform/ce_tilt_a_1_", 50.0)),
        ("client.set_terminated", ("r", "FAILED")),
    ]


@pytest.mark.filterwarnings("ignore")  # of its own
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="ltbench[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from ltbench.execute.trackers.tensorboard import TensorBoard

    _told(TensorBoard, tmp_path)
    (folder,) = (tmp_path / ".tensorboard").iterdir()
    assert folder.name == "sade_tau=1_seed_0_aaaaaaaa"
    read = EventAccumulator(str(folder)).Reload()
    (found,) = read.Scalars("loss")
    assert (found.step, found.value) == (3, 1.5)
