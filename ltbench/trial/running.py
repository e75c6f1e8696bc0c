"""Where a trial runs and how far it is, in a file of its folder while a process is at it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ltbench.errors import InputError, LtbenchError
from ltbench.files import json_text, read_json, write_text
from ltbench.trial.claim import Claim, ClaimLostError

RUNNING = "running.json"
_SECONDS = 10.0  # between two writes, on a file system that many share
_JOBS = ("SLURM_JOB_ID", "RAY_JOB_ID")


@dataclass
class Running:
    """token: of the claim, so that what a killed process left is not taken for its successor's; job: of
    a cluster; stage: what is under way, with its share ``done`` of ``total``; seconds: of one epoch."""

    token: str
    engine: str
    device: str
    job: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of the training, by its last epoch; None before its first one and after its last."""
        if self.stage != "epoch" or self.done >= self.total:
            return None
        return (self.total - self.done) * self.seconds

    def __str__(self) -> str:
        where = ", ".join(word for word in (self.engine, self.job, self.device) if word)
        return f"{where}, {self.stage} {self.done}/{self.total}" if self.stage else where


@contextmanager
def noted(
    folder: Path,
    claim: Claim,
    engine: str,
    device: str,
    emit: Callable[[dict[str, Any]], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """``emit``, which also keeps the file up to date; the file goes with the claim."""
    job = next((os.environ[name] for name in _JOBS if os.environ.get(name)), "")
    running = Running(claim.holder.token, engine, device, f"job {job}" if job else "")
    path, last = folder / RUNNING, -math.inf

    def tell(event: dict[str, Any]) -> None:
        nonlocal last
        _follow(running, event)
        if clock() - last >= _SECONDS:
            last = clock()
            try:
                write_text(path, json_text(asdict(running), indent=None), durable=False)
            except ClaimLostError:
                raise
            except (OSError, LtbenchError):  # it is a courtesy: no trial fails by it
                pass
        emit(event)

    try:
        yield tell
    finally:
        with suppress(OSError, ClaimLostError):
            claim.check()
            path.unlink()


def _follow(running: Running, event: Mapping[str, Any]) -> None:
    if event["event"] == "epoch":
        running.stage, running.done, running.total = "epoch", event["epoch"], event["epochs"]
        running.seconds = event["seconds"]
    elif event["event"] == "stage":
        running.stage, running.done, running.total = event["stage"], event["done"], event["total"]


def read_running(folder: Path, token: str) -> Running | None:
    """What the holder of the claim ``token`` told; None where it told nothing yet."""
    try:
        running = Running(**read_json(folder / RUNNING))
    except (InputError, TypeError):
        return None
    return running if running.token == token else None
