"""TensorBoard: a folder for each trial in ``<results>/.tensorboard``."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

from ltbench.execute.tracker import Facts


class TensorBoard:
    """``tensorboard --logdir <results>/.tensorboard`` shows it."""

    def __init__(self, results: Path) -> None:
        self._folder = results / ".tensorboard"
        self._module: Any = importlib.import_module("torch.utils.tensorboard")
        self._writers: dict[str, Any] = {}

    def begin(self, trial: str, facts: Facts) -> None:
        self.end(trial, "")  # of the process before
        name = re.sub(r"[^\w.,=+]+", "_", str(facts["label"])).strip("_")
        writer = self._module.SummaryWriter(str(self._folder / f"{name}_{trial[:8]}"))
        writer.add_text("trial", json.dumps(dict(facts), indent=1))
        self._writers[trial] = writer

    def value(self, trial: str, name: str, value: float, step: int) -> None:
        self._writers[trial].add_scalar(name, value, step)

    def end(self, trial: str, status: str) -> None:
        writer = self._writers.pop(trial, None)
        if writer is not None:
            writer.close()

    def close(self) -> None:
        for trial in list(self._writers):
            self.end(trial, "")
