"""One trial from start to end inside a worker: train, infer, store, evaluate."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltbench import store
from ltbench.data.sources import open_data
from ltbench.environment import environment, resolve_device
from ltbench.errors import InputError, InterruptedRun, LtbenchError
from ltbench.evaluate.augmented import augmented_logits
from ltbench.evaluate.evaluate import TrialOutputs, evaluate_row
from ltbench.evaluate.stored import (
    evaluation_hash,
    evaluation_path,
    is_complete,
    known_distributions,
)
from ltbench.evaluate.views import ViewLogits
from ltbench.execute.job import Job, build_trial, trial_folder
from ltbench.files import write_atomically, write_json, write_text
from ltbench.models.resnet import ExpertResNet, build_network, count_parameters
from ltbench.protocol import DataConfig, Protocol
from ltbench.registry import Plugin, Registries, load_registries
from ltbench.rows import ResolvedRow
from ltbench.seeds import generator
from ltbench.task import Task, build_task
from ltbench.train.infer import Inference
from ltbench.train.loop import Hooks, TrainingJob, resolved_recipe, train
from ltbench.trial import SCHEMA, Trial

Emit = Callable[[dict[str, Any]], None]


@dataclass
class TrialRun:
    """The state shared by the steps of one trial."""

    job: Job
    emit: Emit
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        settings = self.job.settings
        self.registries: Registries = load_registries(settings.plugins)
        self.device = resolve_device(settings.device)
        began = time.monotonic()
        self.task = _open_task(self.job.protocol, settings.data_dir)
        self.data_seconds = time.monotonic() - began
        self.method: Plugin[Any] = self.registries.methods.get(self.job.training)
        hyper = self.method.cls.hyper_type.from_mapping(self.job.hyper, self.method.name)
        self.hyper = hyper
        self.trial: Trial = build_trial(
            self.job.protocol,
            self.method,
            hyper,
            self.job.seed,
            settings.precision,
            self.task.splits,
        )
        if self.trial.hash != self.job.trial:
            raise LtbenchError("the data or a plugin changed since the plan was made; run it again")
        self.folder = trial_folder(settings, self.trial)
        self.mean, self.std = _normalisation(self.task)

    def report(self, stage: str, done: int, total: int) -> None:
        self.emit({"event": "stage", "stage": stage, "done": done, "total": total})
        if self.should_stop():  # everything finished so far is on disk
            raise InterruptedRun(f"stopped during {stage}")

    def run(self) -> None:
        record = store.finished_trial(self.folder)
        if record is None:
            if not self.job.settings.train:
                raise InputError(
                    f"{self.trial.training} with seed {self.trial.seed} is not trained yet; "
                    "`ltbench run` trains it"
                )
            record = self._train()
        self._evaluate(record)

    # -- training ---------------------------------------------------------------------------------

    def _train(self) -> dict[str, Any]:
        store.sweep_temporaries(self.folder)
        (self.folder / store.FAILED).unlink(missing_ok=True)
        preemptions = store.count_start(self.folder)
        labels = self.task.splits.train.labels[self.task.train.indices]
        counts = torch.from_numpy(self.task.train.counts).to(self.device)
        job = TrainingJob(
            trial=self.trial.hash,
            method=self.method.cls(counts, self.hyper),
            recipe=self.trial.recipe,
            backbone=self.job.protocol.model.backbone,
            images=torch.from_numpy(self.task.splits.train.read(self.task.train.indices)),
            labels=torch.from_numpy(labels),
            mean=self.mean,
            std=self.std,
            seed=self.trial.seed,
            device=self.device,
            precision=self.trial.precision,
            folder=self.folder,
            checkpoint_seconds=self.job.settings.checkpoint_seconds,
        )
        epochs = self.trial.recipe.epochs

        def on_epoch(record: dict[str, Any]) -> None:
            self.emit({"event": "epoch", "epochs": epochs, **record})

        hooks = Hooks(on_epoch, self.should_stop)
        network, progress = train(job, hooks, environment(self.device))
        began = time.monotonic()
        inference = Inference(network, self.mean, self.std, self.device)
        outputs = {
            "logits": inference.dataset(
                self.task.splits.test, lambda i, n: self.report("test images", i, n)
            )
        }
        if len(self.task.train.holdout):
            held = self.task.splits.train.read(self.task.train.holdout)
            outputs["holdout"] = inference(held.__getitem__, len(held))
        inference_seconds = time.monotonic() - began
        _save(self.folder / store.LOGITS, outputs)
        weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        _save(self.folder / store.WEIGHTS, weights)
        lines = "".join(json.dumps(entry) + "\n" for entry in progress.history)
        write_text(self.folder / store.HISTORY, lines)
        images = len(labels) * epochs
        record = self._record(network, progress.environments, preemptions)
        record["cost"] = {
            "seconds": {
                "data": round(self.data_seconds, 3),
                "training": round(progress.seconds, 3),
                "inference": round(inference_seconds, 3),
            },
            "images_per_second": round(images / max(progress.seconds, 1e-9), 1),
            "epochs": epochs,
            "peak_memory_bytes": _peak_memory(),
        }
        record["final_loss"] = progress.history[-1]["loss"]
        write_json(self.folder / store.TRIAL, record)  # last: its presence means finished
        store.clear_attempt(self.folder)
        self.emit({"event": "trained", "seconds": progress.seconds})
        return record

    def _record(
        self, network: ExpertResNet, environments: list[dict[str, Any]], preemptions: int
    ) -> dict[str, Any]:
        trial, task = self.trial, self.task
        request = self.method.cls(torch.from_numpy(task.train.counts), self.hyper).architecture()
        return {
            "schema": SCHEMA,
            "status": "finished",
            "trial": trial.hash,
            "protocol": protocol_facts(trial.protocol),
            "training": trial.training_facts(self.method.origin),
            "seed": trial.seed,
            "identity": trial.identity(),
            "data": {
                **trial.data_facts(),
                "train_counts": task.train.counts.tolist(),
                "class_names": list(task.splits.train.class_names),
                "rank": task.rank.tolist(),
                "groups": task.groups,
                "mean": self.mean.tolist(),
                "std": self.std.tolist(),
            },
            "recipe": resolved_recipe(trial.recipe),
            "precision": trial.precision,
            "model": {
                "backbone": trial.protocol.model.backbone,
                **asdict(request),
                "parameters": count_parameters(network),
            },
            "environment": environments[-1],
            "environments": environments,
            "resumed_elsewhere": len(environments) > 1,
            "preemptions": preemptions,
            "created": _now(),
        }

    # -- evaluation -------------------------------------------------------------------------------

    def _evaluate(self, record: dict[str, Any]) -> None:
        rows = self.job.resolve_rows(self.registries)
        pending = [row for row in rows if not is_complete(self._path(row), self.task.test_sets)]
        if not pending:
            return
        weights = self.folder / store.WEIGHTS
        if not weights.exists() or not (self.folder / store.LOGITS).exists():
            raise LtbenchError(
                f"{self.folder} holds a record without logits and weights; it can be "
                "reported, not evaluated again"
            )
        logits = _load(self.folder / store.LOGITS)["logits"]
        inference = Inference(self._network(weights), self.mean, self.std, self.device)
        test = self.task.splits.test
        shifted = logits
        if self.job.settings.mode == "augmented":
            shifted = augmented_logits(inference, test, self.trial.recipe, self.trial.seed)
        views = ViewLogits(inference, weights, test, self.job.protocol.views, self.report)
        labels = torch.from_numpy(np.array(test.labels))
        outputs = TrialOutputs(self.trial, self.task, logits, shifted, labels, views)
        failures: list[Exception] = []
        for row in pending:
            try:
                self._evaluate_row(row, outputs, record)
            except InterruptedRun:
                raise
            except Exception as error:  # one row's plugin must not cost the others theirs
                self.emit({"event": "row_failed", "label": row.label})
                failures.append(error)
        if failures:
            raise failures[0]

    def _network(self, weights: Path) -> ExpertResNet:
        method = self.method.cls(torch.from_numpy(self.task.train.counts), self.hyper)
        protocol = self.job.protocol
        network = build_network(
            protocol.model.backbone,
            protocol.data.classes,
            method.architecture(),
            generator("shell"),
        )
        network.load_state_dict(_load(weights))
        return network.to(memory_format=torch.channels_last)

    def _path(self, row: ResolvedRow) -> Path:
        return evaluation_path(self.folder, self.trial, row, self.job.settings.mode)

    def _evaluate_row(
        self, row: ResolvedRow, outputs: TrialOutputs, record: dict[str, Any]
    ) -> None:
        began = time.monotonic()
        done = 0

        def step(name: str) -> None:
            nonlocal done
            done += 1
            self.report(row.label, done, len(self.task.test_sets))

        distributions = evaluate_row(outputs, row, known_distributions(self._path(row)), step)
        data = record["data"]
        evaluation = {
            "schema": SCHEMA,
            "evaluation": evaluation_hash(self.trial, row, self.job.settings.mode),
            "trial": self.trial.hash,
            "protocol": protocol_facts(self.job.protocol),
            "seed": self.trial.seed,
            "method": row.method.name,
            "method_version": row.method.cls.version,
            "strategy_version": row.strategy.cls.version,
            "method_params": row.method_params,
            "strategy": row.strategy.name,
            "strategy_params": row.strategy_params,
            "label": row.label,
            "title": row.method.cls.title,
            "uses_true_prior": row.uses_true_prior,
            "mode": self.job.settings.mode,
            "data": {k: data[k] for k in ("train_fingerprint", "test_fingerprint")},
            "recipe": record["recipe"],
            "precision": record["precision"],
            "model": record["model"],
            "train_counts": data["train_counts"],
            "rank": data["rank"],
            "class_names": data["class_names"],
            "groups": self.task.groups,
            "seconds": round(time.monotonic() - began, 3),
            "created": _now(),
            "distributions": distributions,
        }
        write_json(self._path(row), evaluation)
        uniform = distributions["uniform"]["draws"]["0"]["top1"]
        self.emit({"event": "row", "label": row.label, "uniform": uniform})


def protocol_facts(protocol: Protocol) -> dict[str, str]:
    return {
        "name": protocol.name,
        "version": protocol.version,
        "title": protocol.title,
        "variant": protocol.variant,
    }


@lru_cache(maxsize=2)
def _open_data(config: DataConfig, data_dir: str | None) -> Any:
    return open_data(config, Path(data_dir) if data_dir else None, download=False)


def _open_task(protocol: Protocol, data_dir: str | None) -> Task:
    """A worker runs many trials on one data set: the images are opened once."""
    return build_task(protocol, _open_data(protocol.data, data_dir))


def _normalisation(task: Task) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation in [0, 1]: the protocol's, or of the training images."""
    data = task.protocol.data
    if data.mean is not None and data.std is not None:
        return torch.tensor(data.mean), torch.tensor(data.std)
    images = task.splits.train.read(task.train.indices).transpose(1, 0, 2, 3).reshape(3, -1) / 255.0
    deviation = np.maximum(images.std(axis=1), 1e-6)  # a channel may be constant
    return torch.tensor(images.mean(axis=1)).float(), torch.tensor(deviation).float()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    write_atomically(path, lambda temporary: save_file(tensors, temporary))


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise LtbenchError(
            f"{path} is damaged ({error}); without the folder the trial is trained again"
        ) from error


def _peak_memory() -> int | None:
    """Largest resident size of this process so far, bytes; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
