"""Weights & Biases: a run for each trial, of the same id when it goes on; set up by wandb's variables."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from ltbench.execute.tracker import Facts


class Wandb:
    """The project is ``WANDB_PROJECT`` or ``ltbench``; ``WANDB_MODE=offline`` keeps all here."""

    def __init__(self, results: Path) -> None:
        self._folder = results / ".wandb"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._module: Any = importlib.import_module("wandb")
        self._runs: dict[str, Any] = {}

    def begin(self, trial: str, facts: Facts) -> None:
        self.end(trial, "lost")
        self._runs[trial] = self._module.init(
            project=os.environ.get("WANDB_PROJECT", "ltbench"),
            id=trial,
            name=facts["label"],
            config=dict(facts),
            dir=str(self._folder),
            resume="allow",
            reinit="create_new",
            settings=self._module.Settings(silent=True, console="off"),
        )

    def value(self, trial: str, name: str, value: float, step: int) -> None:
        # Its own steps may only grow; stages and epochs count from zero each.
        self._runs[trial].log({name: value, f"{name}.step": step})

    def end(self, trial: str, status: str) -> None:
        run = self._runs.pop(trial, None)
        if run is not None:
            run.finish(exit_code=0 if status == "done" else 1)

    def close(self) -> None:
        for trial in list(self._runs):
            self.end(trial, "interrupted")
