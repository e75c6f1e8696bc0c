"""The driver's loop: runs a plan on an engine, whichever that is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ltbench.execute.engine import FINAL, Engine, Event, LeavableEngine, Message, Start
from ltbench.execute.plan import Plan, PlannedTrial
from ltbench.execute.process import Spare
from ltbench.execute.silence import Silence
from ltbench.execute.tracking import Listener, tracked
from ltbench.execute.worker import record_failure
from ltbench.trial import store
from ltbench.trial.asked_code import Code, note_asked

_BUSY_WAIT = 1.0  # seconds between looks at a trial that another process holds
_POLL = 0.2  # short, so that signals are noticed


@dataclass
class Failure:
    """A trial that did not work out. ``log``: the file with the traceback; ``status``: one of
    :data:`ltbench.trial.endings.ENDINGS`."""

    label: str
    error: str
    log: Path
    status: str = "failed"


@dataclass
class Outcome:
    """What a run came to. ``signal``: the number of the signal that stopped it, else 0; ``left``:
    the jobs that a detached run left behind."""

    finished: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    signal: int = 0
    left: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        if self.signal:
            return 128 + self.signal
        return 1 if self.failures else 0


def execute(
    plan: Plan,
    *,
    listen: Listener = lambda planned, event: None,
    spare: Spare | None = None,
    engine: Engine | None = None,
    silence: Silence | None = None,
) -> Outcome:
    """Runs every trial of the plan; one that fails stops no other.

    ``spare``: a worker that is already loading, used before others are started; ``engine``: in place
    of the plan's own; ``silence``: after how long ``listen`` is told that nothing was heard of a trial
    of this machine (an event ``silent`` with ``seconds``).

    The first SIGINT or SIGTERM lets each trial write a checkpoint and ends the run, a second one
    ends it at once. What code was asked for is noted first: results of it are the current ones.
    """
    note_asked_code(plan)
    start = _start(plan, spare)
    with tracked(listen, plan.trackers, start.results) as tell:
        return _Execution(
            plan, tell, engine or plan.engine.start(start), silence or Silence()
        ).run()


def _start(plan: Plan, spare: Spare | None) -> Start:
    results = Path(plan.trials[0].job.settings.results if plan.trials else ".")
    seconds = max((planned.estimate.seconds for planned in plan.trials), default=0.0)
    return Start(plan.jobs, len(plan.trials), results.absolute(), seconds, spare, plan.jobs_per_gpu)


def note_asked_code(plan: Plan) -> None:
    codes: dict[str, set[Code]] = {}
    for planned in plan.trials:
        trial = planned.trial
        found = codes.setdefault(planned.job.settings.results, set())
        found.add(Code("method", trial.training, trial.digest))
        found.update(code for row in planned.rows for code in row.codes())
    for results, asked in codes.items():
        note_asked(Path(results), asked)


def message_of(planned: PlannedTrial, folders: Mapping[str, Path] | None = None) -> Message:
    """What a worker is told; all its paths are absolute, since its current folder may be another.

    folders: of all trials of the plan, by hash.
    """
    message = planned.job.to_json()
    settings = message["settings"]
    for name in ("results", "data_dir"):
        if settings[name] is not None:
            settings[name] = str(Path(settings[name]).expanduser().absolute())
    before = [
        _absolute(folder) for trial in planned.after if (folder := (folders or {}).get(trial))
    ]
    return {**message, "folder": _absolute(planned.folder), "before": before}


def _absolute(folder: Path) -> str:
    return str(folder.expanduser().absolute())


class _Execution:
    def __init__(self, plan: Plan, listen: Listener, engine: Engine, silence: Silence) -> None:
        self.silence = (
            silence if plan.engine.here else None
        )  # elsewhere a trial may wait for its turn
        self.waiting = deque(plan.trials)
        self.folders = {planned.trial.hash: planned.folder for planned in plan.trials}
        self.detach = plan.detach
        self.listen = listen
        self.engine = engine
        self.outcome = Outcome()
        self.running: dict[str, PlannedTrial] = {}
        self.started: set[str] = set()  # those that hold, or held, their claim
        self.lost: Counter[str] = Counter()
        self.busy: dict[str, str] = {}  # trial to whoever held it when last told
        self.told_to_stop = False

    def run(self) -> Outcome:
        with self._signals():
            try:
                if self.detach:
                    self._leave()
                while (self.waiting and not self.outcome.signal) or self.running:
                    self._fill()
                    self._pass_on_stop()
                    for trial, event in self.engine.poll(_POLL):
                        if trial in self.running:
                            self._handle(self.running[trial], event)
                    self._tell_silence()
            finally:
                self.engine.close()
        return self.outcome

    def _leave(self) -> None:
        """Submits what can start now; the rest waits for a later call."""
        assert isinstance(self.engine, LeavableEngine)
        self._fill()
        self.outcome.left = self.engine.leave()
        self.waiting.clear()
        self.running.clear()

    def _tell_silence(self) -> None:
        for trial, seconds in self.silence.overdue() if self.silence is not None else ():
            self.listen(self.running[trial], {"event": "silent", "seconds": seconds})

    def _pass_on_stop(self) -> None:
        if self.outcome.signal and not self.told_to_stop:
            self.told_to_stop = True
            self.engine.stop()

    def _fill(self) -> None:
        """Submits what can start, up to the number of jobs that the engine takes."""
        while self._bring_forward() and not self.outcome.signal:
            if self.waiting[0].complete:  # needs no process
                planned = self.waiting.popleft()
                store.tidy(planned.folder)
                self.outcome.finished.append(planned.trial.hash)
                self.listen(planned, {"event": "done"})
                continue
            if len(self.running) >= self.engine.slots:
                return
            planned = self.waiting.popleft()
            self.running[planned.trial.hash] = planned
            self.started.discard(planned.trial.hash)
            if self.silence is not None:
                self.silence.begin(planned.trial.hash)
            self.engine.submit(message_of(planned, self.folders))

    def _bring_forward(self) -> bool:
        """Puts a trial first that can start now, an ensemble after its members; False: none can."""
        unfinished: set[str] = (
            set()
        )  # made only where something waits for it: there may be thousands
        for planned in self.waiting:
            if planned.after and not unfinished:
                unfinished = {other.trial.hash for other in self.waiting} | set(self.running)
            if not unfinished & set(planned.after):
                self.waiting.remove(planned)
                self.waiting.appendleft(planned)
                return True
        return False

    def _handle(self, planned: PlannedTrial, event: Event) -> None:
        trial, kind = planned.trial.hash, event["event"]
        if self.silence is not None:
            self.silence.hear(trial, kind)
        if kind in FINAL:
            del self.running[trial]
            if self.silence is not None:
                self.silence.forget(trial)
        if kind == "started":
            self.started.add(trial)
        if kind == "busy":
            self._wait_for_other(planned, event)
        elif kind == "lost":
            self._lost(planned, event)
        elif kind == "returned":
            self.waiting.append(planned)
        else:
            self.listen(planned, event)
            if kind == "done":
                self.outcome.finished.append(trial)
            elif kind == "failed":
                self._fail(planned, event["error"], str(event.get("status", "failed")))
            elif kind == "cancelled" and not self.outcome.signal:
                self._fail(planned, event["reason"])

    def _wait_for_other(self, planned: PlannedTrial, event: Event) -> None:
        """Another process holds this trial: take the next one, come back to it later."""
        holder = str(event.get("holder", ""))
        if self.busy.get(planned.trial.hash) != holder:
            self.busy[planned.trial.hash] = holder
            self.listen(planned, event)
        self.waiting.append(planned)
        if all(other.trial.hash in self.busy for other in self.waiting if not other.after):
            time.sleep(_BUSY_WAIT)

    def _lost(self, planned: PlannedTrial, event: Event) -> None:
        """The process of a trial is gone: it is tried again, from its checkpoint, or has failed."""
        if self.outcome.signal:
            return
        trial, reason = planned.trial.hash, str(event["reason"])
        self.lost[trial] += 1
        if self.lost[trial] <= self.engine.retries:
            self.listen(planned, event)
            self.waiting.append(planned)
            return
        status = str(event.get("status", "failed"))
        if trial in self.started:
            log = str(event.get("log", ""))
            record_failure(planned.folder, planned.job.to_json(), status, reason, log)
        self.listen(planned, {"event": "failed", "error": reason, "status": status})
        self._fail(planned, reason, status)

    def _fail(self, planned: PlannedTrial, error: str, status: str = "failed") -> None:
        log = planned.folder / "failure.log"
        self.outcome.failures.append(Failure(planned.label, error, log, status))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.outcome.signal:
                self.engine.stop(now=True)
                os._exit(128 + number)
            self.outcome.signal = number  # the loop passes it on: here a write may be under way

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
