"""Telling how a run goes: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn

from ltbench.execute.bars import LiveBars
from ltbench.execute.plan import Plan, PlannedTrial
from ltbench.progress import duration
from ltbench.trial.holder import SILENCE

_PLAIN_SECONDS = 30.0  # between two lines about the same trial


class RunProgress(LiveBars):
    """Listens to the events of a run. ``quiet``: only failures are told."""

    def __init__(self, plan: Plan, console: Console, *, quiet: bool = False) -> None:
        note = TextColumn("{task.fields[note]}")
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), note)
        super().__init__(console, columns, quiet)
        self.left = {p.trial.hash: p.estimate.seconds for p in plan.trials}
        self.done = 0
        self.total = len(plan.trials)
        self.said: dict[str, float] = {}
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, planned: PlannedTrial, event: dict[str, Any]) -> None:
        name = planned.label
        match event["event"]:
            case "started":
                self._bar(planned, name, 0, 1, "starting")
                self._no_locks(planned, event.get("no_locks", ""))
            case "epoch":
                self._epoch(planned, name, event)
            case "stage":
                self._bar(planned, name, event["done"], event["total"], event["stage"])
                self._plain_stage(planned, name, event)
            case "row":
                self._say(f"{name}: {event['label']} uniform {event['uniform']:.1f}")
            case "trained":
                self._say(f"{name}: trained in {duration(event['seconds'])}")
            case "busy":
                holder = event.get("holder", "")
                told = f" ({holder})" if holder else ""
                self._say(f"{name}: another process holds this trial, waiting for it{told}")
            case "queued":
                self._say(f"{name}: {event['job']}")
            case "tracker":
                self._say(event["error"])
            case "silent":
                self._say(f"{name}: {_silent(planned, event['seconds'])}")
            case "requeued":
                self._end(planned, left=True)
                self._say(f"{name}: requeued, it goes on from its checkpoint")
            case "lost":
                self._end(planned, left=True)
                self._say(f"{name}: {event['reason']}; tried again")
            case "stopping":
                self._say(f"{name}: stopping, it writes a checkpoint first")
            case "cancelled":
                self._end(planned)
                self._say(f"{name}: {event['reason']}")
            case "interrupted":
                self._end(planned)
                self._say(f"{name}: interrupted, progress is kept")
            case "failed":
                self._end(planned)
                self.console.print(f"{name}: failed: {event['error']}", style="red", markup=False)
            case "done":
                self._end(planned)
                self.done += 1
                left = sum(self.left.values())
                note = f", about {duration(left)} left" if left >= 1 else ""
                self._say(f"{name}: done ({self.done} of {self.total}{note})")

    def _no_locks(self, planned: PlannedTrial, reason: str) -> None:
        if reason and "locks" not in self.said:
            self.said["locks"] = time.monotonic()
            self._say(
                f"file locks do not work in {planned.job.settings.results} ({reason}): trials are "
                "claimed by files alone, and one whose run died on another host is free again "
                f"after {duration(SILENCE)}"
            )

    def _epoch(self, planned: PlannedTrial, name: str, event: dict[str, Any]) -> None:
        epoch, epochs = event["epoch"], event["epochs"]
        left = event["seconds"] * (epochs - epoch)
        self.left[planned.trial.hash] = left
        note = f"epoch {epoch}/{epochs} loss {event['loss']:.3f}, {duration(left)} left"
        self._bar(planned, name, epoch, epochs, note)
        self._plain(planned, f"{name}: {note}")

    def _plain_stage(self, planned: PlannedTrial, name: str, event: dict[str, Any]) -> None:
        self._plain(planned, f"{name}: {event['stage']} {event['done']}/{event['total']}")

    def _plain(self, planned: PlannedTrial, text: str) -> None:
        if self.bars is not None:
            return
        now = time.monotonic()
        last = self.said.setdefault(planned.trial.hash, now)
        if now - last >= _PLAIN_SECONDS:
            self.said[planned.trial.hash] = now
            self._say(text)

    def _bar(self, planned: PlannedTrial, name: str, done: int, total: int, note: str) -> None:
        if self.bars is None:
            return
        key = planned.trial.hash
        if key not in self.tasks:
            self.tasks[key] = self.bars.add_task(name, total=total, note=note)
        self.bars.update(self.tasks[key], completed=done, total=total, note=note)

    def _end(self, planned: PlannedTrial, *, left: bool = False) -> None:
        if not left:
            self.left[planned.trial.hash] = 0.0
        task = self.tasks.pop(planned.trial.hash, None)
        if self.bars is not None and task is not None:
            self.bars.remove_task(task)

    def _say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False)


def _silent(planned: PlannedTrial, seconds: float) -> str:
    limit = planned.job.settings.timeout
    ends = f"--timeout ends it after {duration(limit)}" if limit else "--timeout 2h would end it"
    return (
        f"nothing heard of it for {duration(seconds)}, much longer than between its epochs so far; it "
        f"may hang; {ends}"
    )
