"""The driver's loop on an engine that only tells what it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ltbench.execute import run
from ltbench.execute.engine import Message
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.execute.run import execute, message_of

QUICK = {"recipe.epochs": "1", "test.draws": "2"}


class Scripted:
    """Answers each submission with the next list of events of its trial."""

    def __init__(self, answers: dict[str, list[list[dict[str, Any]]]], slots: int = 1) -> None:
        self.answers, self.slots, self.retries = answers, slots, 2
        self.submitted: list[Message] = []
        self.told: deque[tuple[str, dict[str, Any]]] = deque()
        self.closed = False

    def submit(self, message: Message) -> None:
        assert len(self.told) < 10
        self.submitted.append(message)
        for event in self.answers[str(message["training"])].pop(0):
            self.told.append((str(message["trial"]), event))

    def poll(self, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
        while self.told:
            yield self.told.popleft()

    def stop(self, *, now: bool = False) -> None:
        raise AssertionError("nobody stops this run")

    def close(self) -> None:
        self.closed = True


STARTED, DONE = {"event": "started"}, {"event": "done"}
LOST = {"event": "lost", "reason": "the node is gone", "log": "last words"}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    request = Request(
        "ce,balanced-softmax", "digits-lt", seeds=(0,), results=Path("results"), device="cpu",
        overrides=QUICK,
    )  # fmt: skip
    return prepare(request)


def test_a_lost_trial_is_tried_again_and_then_has_failed(plan: Plan) -> None:
    answers = {"ce": [[STARTED, LOST]] * 3, "balanced-softmax": [[STARTED, LOST], [STARTED, DONE]]}
    engine = Scripted(answers)
    heard: list[str] = []
    outcome = execute(
        plan, engine=engine, listen=lambda planned, event: heard.append(event["event"])
    )
    assert engine.closed
    assert len(engine.submitted) == 5
    assert heard.count("lost") == 3
    assert len(outcome.finished) == 1
    (failure,) = outcome.failures
    assert (failure.label, failure.error) == ("ce seed 0", "the node is gone")
    assert failure.log.read_text() == "last words"
    assert outcome.exit_code == 1
    assert (failure.log.parent / "failed.json").exists()


def test_a_trial_that_never_started_leaves_no_record_of_a_failure(plan: Plan) -> None:
    engine = Scripted({"ce": [[LOST]] * 3, "balanced-softmax": [[DONE]]})
    outcome = execute(plan, engine=engine)
    (failure,) = outcome.failures
    assert not failure.log.exists()


def test_what_is_given_back_unstarted_does_not_count(plan: Plan) -> None:
    returned = [{"event": "returned"}]
    engine = Scripted({"ce": [returned] * 5 + [[STARTED, DONE]], "balanced-softmax": [[DONE]]})
    outcome = execute(plan, engine=engine)
    assert len(outcome.finished) == 2
    assert not outcome.failures


def test_a_cancelled_trial_is_no_failed_record(plan: Plan) -> None:
    cancelled = {"event": "cancelled", "reason": "job 7 was cancelled"}
    engine = Scripted({"ce": [[STARTED, cancelled]], "balanced-softmax": [[DONE]]})
    outcome = execute(plan, engine=engine)
    assert [failure.error for failure in outcome.failures] == ["job 7 was cancelled"]
    assert not list(Path("results").rglob("failed.json"))


def test_a_busy_trial_comes_back(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_BUSY_WAIT", 0.0)
    busy = [{"event": "busy", "holder": "process 1 on node7"}]
    engine = Scripted({"ce": [busy, busy, [DONE]], "balanced-softmax": [[DONE]]}, slots=2)
    heard: list[str] = []
    outcome = execute(
        plan, engine=engine, listen=lambda planned, event: heard.append(event["event"])
    )
    assert heard.count("busy") == 1  # told once for each holder
    assert len(outcome.finished) == 2


def test_the_paths_of_a_message_are_absolute(plan: Plan, tmp_path: Path) -> None:
    message = message_of(plan.trials[0])
    assert message["settings"]["results"] == str(tmp_path / "results")
    assert Path(message["folder"]).is_relative_to(tmp_path / "results")
    assert plan.trials[0].job.settings.results == "results"
