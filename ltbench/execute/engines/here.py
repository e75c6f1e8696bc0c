"""What ``--engine local`` stands for: processes of this machine, or threads of one for each GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ltbench.execute.engine import Engine, Sharing, Start
from ltbench.execute.engines.local import LocalEngine
from ltbench.execute.engines.streams import StreamsEngine
from ltbench.execute.resources import AUTO, share
from ltbench.trial.environment import resolve_device


@dataclass(frozen=True)
class Local:
    """``--engine local``, the default; it has no settings."""

    here: ClassVar[bool] = True
    detachable: ClassVar[bool] = False
    limits_time: ClassVar[bool] = True

    def check(self) -> None:
        pass

    def device(self, word: str) -> str:
        return resolve_device(word).type

    def share(self, asked: Sharing) -> tuple[int, int]:
        device = resolve_device(asked.device)
        return share(
            asked.jobs, asked.jobs_per_gpu, asked.trials, device, asked.memory, asked.processes
        )

    def start(self, start: Start) -> Engine:
        if start.jobs_per_gpu == AUTO:
            return StreamsEngine(start.jobs)
        return LocalEngine(start.jobs, start.spare)
