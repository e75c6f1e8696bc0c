"""MLflow: a run for each start of a trial; set up by ``MLFLOW_TRACKING_URI``."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from ltbench.execute.tracker import Facts

_STATUS = {"done": "FINISHED", "failed": "FAILED"}


class MLflow:
    """The experiment is ``MLFLOW_EXPERIMENT_NAME`` or ``ltbench``."""

    def __init__(self, results: Path) -> None:
        module: Any = importlib.import_module("mlflow")
        self._client = module.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ltbench")
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._runs: dict[str, str] = {}

    def begin(self, trial: str, facts: Facts) -> None:
        self.end(trial, "lost")
        run = self._client.create_run(self._experiment, run_name=facts["label"])
        self._runs[trial] = run.info.run_id
        for name, value in facts.items():
            self._client.log_param(run.info.run_id, name, value)

    def value(self, trial: str, name: str, value: float, step: int) -> None:
        # Of other signs it takes few.
        plain = "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
        self._client.log_metric(self._runs[trial], plain, value, step=step)

    def end(self, trial: str, status: str) -> None:
        run = self._runs.pop(trial, None)
        if run is not None:
            self._client.set_terminated(run, _STATUS.get(status, "KILLED"))

    def close(self) -> None:
        for trial in list(self._runs):
            self.end(trial, "interrupted")
