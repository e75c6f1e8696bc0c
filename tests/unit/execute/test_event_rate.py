"""Events at a bounded rate: what tells how far things are may be left out, all else not."""

from __future__ import annotations

from typing import Any

from ltbench.execute.event_rate import SECONDS, bounded


def test_most_epochs_of_a_fast_trial_are_left_out() -> None:
    now, told = [0.0], list[dict[str, Any]]()
    tell = bounded(told.append, clock=lambda: now[0])
    tell({"event": "started"})
    for epoch in range(1, 101):
        now[0] += SECONDS / 10
        tell({"event": "epoch", "epoch": epoch, "epochs": 100})
        tell({"event": "stage", "stage": "test images", "done": epoch, "total": 100})
        tell({"event": "row", "label": "ce", "uniform": 50.0})
    kinds = [event["event"] for event in told]
    assert kinds.count("row") == 100
    epochs = [event["epoch"] for event in told if event["event"] == "epoch"]
    assert epochs[0] == 1
    assert epochs[-1] == 100
    assert 10 <= len(epochs) <= 12
    assert kinds.count("stage") == len(epochs)
