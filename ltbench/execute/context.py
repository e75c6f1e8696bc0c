"""What the steps of one trial share: its ingredients, resolved, and whom to tell."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ltbench.backbone import ChosenBackbone
from ltbench.data.dataset import Splits, channel_statistics
from ltbench.data.sources import open_data
from ltbench.errors import InterruptedRun, LtbenchError
from ltbench.execute.features import with_dim
from ltbench.execute.job import Job, trial_folder
from ltbench.execute.lineage import Ancestry, Training, ancestry
from ltbench.features.dataset import FeatureDataset
from ltbench.method import Method
from ltbench.models.chosen import chosen_backbone
from ltbench.protocol.protocol import DataConfig, Protocol
from ltbench.registry import Plugin, Registries, load_registries
from ltbench.task import Task, build_task
from ltbench.trial.environment import resolve_device
from ltbench.trial.tensor_file import read_tensors, write_sealed
from ltbench.trial.trial import Trial

Emit = Callable[[dict[str, Any]], None]


@dataclass
class TrialContext:
    """A job met with its images. Raises :class:`LtbenchError` where they are not those planned for."""

    job: Job
    emit: Emit
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        settings = self.job.settings
        self.registries: Registries = load_registries(settings.plugins)
        self.device = resolve_device(settings.device)
        began = time.monotonic()
        self.task = _open_task(self.job.protocol, settings.data_dir, settings.plugins)
        self.data_seconds = time.monotonic() - began
        self.trial: Trial = self._find_trial()
        if self.trial.hash != self.job.trial:
            raise LtbenchError(
                "the data or the code of a plugin changed since the plan was made; run it again "
                "(from Python: in a new process)"
            )
        self.folder = trial_folder(settings, self.trial)
        self.mean, self.std = _normalisation(self.task)

    def _find_trial(self) -> Trial:
        self.plugin: Plugin[Any] = self.registries.methods.get(self.job.training)
        self.hyper = self.plugin.cls.hyper_type.from_mapping(self.job.hyper, self.plugin.name)
        self.ancestry: Ancestry = ancestry(
            Training(self.plugin, self.hyper, self.plugin.name, []),
            self.job.seed,
            self.job.protocol,
            self.registries,
            torch.from_numpy(self.task.train.counts),
            self.job.settings.precision,
            self.task.splits,
        )
        return self.ancestry.trial

    @cached_property
    def backbone(self) -> ChosenBackbone:
        """Raises :class:`LtbenchError` where a plugin's code is no longer that of the plan."""
        protocol = with_dim(self.job.protocol, self.task.splits)
        return chosen_backbone(protocol, self.job.settings.plugins)

    def method(self, device: torch.device | None = None) -> Method[Any]:
        """The method that trains, its counts on ``device`` (default: the CPU)."""
        counts = torch.from_numpy(self.task.train.counts).to(device or torch.device("cpu"))
        method: Method[Any] = self.plugin.cls(counts, self.hyper)
        return method

    def lineage(self, device: torch.device | None = None) -> list[Method[Any]]:
        """The methods whose trained networks it starts from, oldest first, and the one that trains."""
        counts = torch.from_numpy(self.task.train.counts).to(device or torch.device("cpu"))
        return [each.build(counts) for each in self.ancestry.line()]

    def report(self, stage: str, done: int, total: int) -> None:
        """Tells how far a stage is; raises :class:`InterruptedRun` where the run is to stop."""
        self.emit({"event": "stage", "stage": stage, "done": done, "total": total})
        if self.should_stop():  # everything finished so far is on disk
            raise InterruptedRun(f"stopped during {stage}")


_OPENING = threading.Lock()


@lru_cache(maxsize=2)
def _open_data(config: DataConfig, data_dir: str | None, plugins: tuple[str, ...]) -> Splits:
    folder = Path(data_dir) if data_dir else None
    return open_data(config, folder, download=False, plugins=plugins)


def _open_task(protocol: Protocol, data_dir: str | None, plugins: tuple[str, ...]) -> Task:
    """A worker runs many trials on one data set, maybe in threads: the images are opened once."""
    with _OPENING:
        splits = _open_data(protocol.data, data_dir, plugins)
    return build_task(protocol, splits)


def _normalisation(task: Task) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation in [0, 1]: the protocol's, or of the training images."""
    data = task.protocol.data
    if isinstance(task.splits.train, FeatureDataset):
        return torch.zeros(0), torch.ones(0)
    if data.mean is not None and data.std is not None:
        return torch.tensor(data.mean), torch.tensor(data.std)
    mean, deviation = channel_statistics(task.splits.train, task.train.indices)
    return torch.tensor(mean), torch.tensor(deviation).clamp(min=1e-6)  # one may be constant


def now() -> str:
    """In microseconds: of two records of one seed the later one counts."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    write_sealed(path, tensors)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Raises :class:`LtbenchError`, one line, where the file is not there or is damaged."""
    try:
        return read_tensors(path)
    except FileNotFoundError:
        raise LtbenchError(f"{path} is not there") from None
    except OSError as error:
        raise LtbenchError(f"{path} cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise LtbenchError(
            f"{path} is damaged ({error}); without the folder the trial is trained again"
        ) from error
