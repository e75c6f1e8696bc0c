"""The training of one trial: what is left on disk makes every evaluation possible."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltbench.data.dataset import Dataset, Images
from ltbench.errors import ContractError
from ltbench.evaluate.large_logits import is_large, logits_in_pieces, read_images
from ltbench.execute.context import TrialContext, now, save_tensors
from ltbench.execute.measured_prior import measured_prior
from ltbench.execute.measured_rates import add_rate, conditions, is_of_one_piece
from ltbench.execute.parents import start_weights, teacher_network
from ltbench.features.dataset import FeatureDataset
from ltbench.files import write_text
from ltbench.method import TrainingFeatures, overrides
from ltbench.models.build import count_macs, count_parameters
from ltbench.models.chosen import feature_model
from ltbench.models.network import ExpertNetwork
from ltbench.models.pretrained import PretrainedFile
from ltbench.protocol.protocol import FROZEN, Protocol
from ltbench.settings import identity_of
from ltbench.train.division import divide
from ltbench.train.frozen_feed import FeatureRows
from ltbench.train.infer import Inference
from ltbench.train.loop import Hooks, TrainingJob, check_outputs, resolved_recipe, train
from ltbench.train.speed import check_compiler, resolve_speed
from ltbench.train.streamed import Streamed, loaders
from ltbench.train.team import ALONE, Team
from ltbench.trial import store
from ltbench.trial.checked import write_checked
from ltbench.trial.environment import environment
from ltbench.trial.tensor_file import Pieces, write_pieces
from ltbench.trial.trial import SCHEMA


def train_trial(context: TrialContext, team: Team = ALONE) -> dict[str, Any]:
    """Trains to the last epoch, runs the network over the test images, stores all; the record.

    team: of several processes this is the first, and the others call :func:`train_share`.
    """
    (context.folder / store.FAILED).unlink(missing_ok=True)
    preemptions = store.count_start(context.folder, context.job.settings.command)
    job = training_job(context, team)
    epochs = context.trial.recipe.epochs

    def on_epoch(record: dict[str, Any]) -> None:
        context.emit({"event": "epoch", "epochs": epochs, **record})

    hooks = Hooks(on_epoch, context.should_stop)
    network, progress = train(job, hooks, environment(context.device) | _modes(job))
    team.leave()
    began = time.monotonic()
    inference = Inference(network, context.mean, context.std, context.device)
    finish(job, network, inference)
    holdout = _store_logits(context, job, inference, progress.history)
    carried = measured_prior(context, inference, holdout)
    inference_seconds = time.monotonic() - began
    weights = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    save_tensors(context.folder / store.WEIGHTS, weights)
    lines = "".join(json.dumps(entry) + "\n" for entry in progress.history)
    write_text(context.folder / store.HISTORY, lines)
    images = len(job.labels) * len(progress.history)
    record = _record(context, network, progress.environments, preemptions)
    record["carried_prior"] = carried
    record["cost"] = {
        "seconds": {
            "data": round(context.data_seconds, 3),
            "training": round(progress.seconds, 3),
            "inference": round(inference_seconds, 3),
        },
        "images_per_second": round(images / max(progress.seconds, 1e-9), 1),
        "epochs": len(progress.history),
        "peak_memory_bytes": _peak_memory(),
    }
    if isinstance(job.images, Streamed):
        record["cost"]["waiting_share"] = round(progress.waited / max(progress.seconds, 1e-9), 4)
        record["cost"]["loaders"] = job.images.loaders
    digest = hashlib.sha256((context.folder / store.WEIGHTS).read_bytes()).hexdigest()
    record["weights_sha256"] = digest
    if progress.history:  # nothing is trained for a head that follows from features
        record["final_loss"] = progress.history[-1]["loss"]
    write_checked(context.folder / store.TRIAL, record)  # last: its presence means finished
    _remember_rate(context, job, record)
    store.clear_attempt(context.folder)
    context.emit({"event": "trained", "seconds": progress.seconds})
    return record


def _remember_rate(context: TrialContext, job: TrainingJob, record: dict[str, Any]) -> None:
    """For estimates of later plans; what trained nothing, or in several pieces, tells no rate."""
    if not is_of_one_piece(record):
        return
    asked = conditions(
        context.trial,
        job.method.architecture().experts,
        context.job.settings,
        context.device,
        streamed=isinstance(job.images, Streamed),
    )
    add_rate(asked, record["cost"]["images_per_second"])


def train_share(context: TrialContext, team: Team) -> None:
    """What a process that is not the first one does for :func:`train_trial`: it trains along."""
    train(training_job(context, team), Hooks(), {})
    team.leave()


def training_job(context: TrialContext, team: Team = ALONE) -> TrainingJob:
    labels = context.task.splits.train.labels[context.task.train.indices]
    images, settings = _images(context), context.job.settings
    divided = divide(context.trial.recipe, team.size, settings.accumulate)
    speed = resolve_speed(
        settings.speed,
        context.device.type,
        whole=divided.whole,
        resident=isinstance(images, torch.Tensor),
    )
    check_compiler(speed, context.device.type)
    return TrainingJob(
        trial=context.trial.hash,
        method=context.method(context.device),
        recipe=context.trial.recipe,
        backbone=context.backbone,
        images=images,
        labels=torch.from_numpy(labels),
        mean=context.mean,
        std=context.std,
        seed=context.trial.seed,
        device=context.device,
        precision=context.trial.precision,
        speed=speed,
        folder=context.folder,
        before=tuple(context.lineage(context.device)[:-1]),
        start=start_weights(context),
        pretrained=_pretrained(context),
        teacher=teacher_network(context),
        init=context.trial.protocol.model.init,
        checkpoint_seconds=context.job.settings.checkpoint_seconds,
        accumulate=context.job.settings.accumulate,
        team=team,
    )


def _modes(job: TrainingJob) -> dict[str, Any]:
    """How it is divided; none of it is hashed, and what is not used is not told."""
    shared = {"processes": job.team.size, "accumulate": job.accumulate}
    used = {key: number for key, number in shared.items() if number > 1}
    return used


def _store_logits(
    context: TrialContext, job: TrainingJob, inference: Inference, history: list[dict[str, Any]]
) -> Tensor | None:
    """Of the test images and the hold-out; those of a large test set go to the disk as they come.

    Returns those of the hold-out.
    """
    test, path = context.task.splits.test, context.folder / store.LOGITS

    def told(done: int, total: int) -> None:
        context.report("test images", done, total)

    holdout: dict[str, Tensor] = {}
    if len(context.task.holdout):
        held = context.task.holdout
        holdout["holdout"] = inference(lambda i: held.images.read(held.indices[i]), len(held))
        check_outputs(job, holdout["holdout"], history)
    shape = (len(test), job.method.architecture().experts, len(context.task.train.counts))
    if not is_large(*shape):
        logits = inference.dataset(test, told)
        check_outputs(job, logits, history)
        save_tensors(path, {"logits": logits, **holdout})
        return holdout.get("holdout")

    def parts() -> Iterator[Tensor]:
        for part in logits_in_pieces(inference, read_images(test), len(test), told):
            check_outputs(job, part, history)
            yield part

    whole = {name: Pieces.whole(logits) for name, logits in holdout.items()}
    write_pieces(path, {"logits": Pieces(shape, torch.float32, parts()), **whole}, sealed=True)
    return holdout.get("holdout")


def finish(job: TrainingJob, network: ExpertNetwork, inference: Inference) -> None:
    """Lets the method set weights from the features of the training images, un-augmented."""
    if not overrides(job.method, "finish"):
        return
    found = inference.features(_clean(job.images), len(job.images))
    text = job.images.text if isinstance(job.images, FeatureRows) else None
    seen = TrainingFeatures(
        found.to(job.device),
        job.labels.to(job.device),
        None if text is None else text.to(job.device),
    )
    names = list(network.state_dict())
    network.eval()
    with torch.no_grad():
        job.method.finish(network, seen)
    if list(network.state_dict()) != names:
        raise ContractError(
            f"method {job.method.name!r}: finish made other modules; it may set weights and buffers in "
            "place, modules are made in build"
        )


def _images(context: TrialContext) -> torch.Tensor | Streamed | FeatureRows:
    train, settings = context.task.splits.train, context.job.settings
    if isinstance(train, FeatureDataset):
        return FeatureRows.of(train, context.task.train.indices)
    if train.streamed:
        many = loaders(context.device, settings.threads, settings.loaders)
        return Streamed(train, context.task.train.indices, many)
    return torch.from_numpy(train.read(context.task.train.indices))


def _clean(images: torch.Tensor | Streamed | FeatureRows) -> Callable[[slice], Images]:
    if isinstance(images, Streamed):
        return images.read
    if isinstance(images, FeatureRows):
        rows = images.rows[0]
        return lambda chosen: rows[chosen].numpy()
    return lambda chosen: images[chosen].numpy()


def _record(
    context: TrialContext,
    network: ExpertNetwork,
    environments: list[dict[str, Any]],
    preemptions: int,
) -> dict[str, Any]:
    trial, task = context.trial, context.task
    request = context.method().architecture()
    return {
        "schema": SCHEMA,
        "status": "finished",
        "trial": trial.hash,
        "protocol": trial.protocol.facts(),
        "training": trial.training_facts(context.plugin.origin),
        "seed": trial.seed,
        "identity": trial.identity(),
        "data": {
            **trial.data_facts(),
            # Recorded, not hashed: which bytes the plugin gave is in the fingerprints.
            **({"source_code": task.splits.code} if task.splits.code else {}),
            **_encoder_facts(task.splits.train, trial.protocol),
            "train_counts": task.train.counts.tolist(),
            "class_names": list(task.splits.train.class_names),
            "rank": task.rank.tolist(),
            "groups": task.groups,
            "mean": context.mean.tolist(),
            "std": context.std.tolist(),
        },
        "recipe": resolved_recipe(trial.recipe),
        "precision": trial.precision,
        "model": {
            **_model_facts(trial.protocol),
            **identity_of(request),
            **({"built": True} if any(overrides(m, "build") for m in context.lineage()) else {}),
            "parameters": count_parameters(network),
            "macs": count_macs(
                context.backbone,
                trial.protocol.data.used_classes,
                request,
                trial.protocol.data.image_size,
            ),
        },
        "environment": environments[-1],
        "environments": environments,
        "resumed_elsewhere": len(environments) > 1,
        "preemptions": preemptions,
        **({} if trial.parent is None else {"parent": trial.parent.facts()}),
        "created": now(),
    }


def _encoder_facts(train: Dataset, protocol: Protocol) -> dict[str, Any]:
    """Of frozen features what made them, and of which images: so that tables can tell pre-trained rows
    from others, and take one data set for one."""
    if not isinstance(train, FeatureDataset):
        return {}
    facts: dict[str, Any] = {"images_fingerprint": train.origin} if train.origin else {}
    if train.encoder is not None:
        facts["encoder"] = dataclasses.asdict(train.encoder)
        if protocol.data.encoder.overlap:
            facts["encoder"]["overlap"] = protocol.data.encoder.overlap
    return facts


def _pretrained(context: TrialContext) -> PretrainedFile | None:
    given = context.trial.protocol.model.pretrained
    if not given.file:
        return None
    return PretrainedFile(Path(given.file), given.sha256, context.backbone.cls.head_names)


def _model_facts(protocol: Protocol) -> dict[str, Any]:
    """What builds the network again: the backbone and, where they are not the usual, code and split."""
    model = protocol.model
    facts: dict[str, Any] = {"backbone": model.backbone}
    if model.backbone == FROZEN:
        facts["features"] = dataclasses.asdict(feature_model(protocol)) | {"init": model.init}
    if model.shared is not None:
        facts["shared"] = model.shared
    if protocol.backbone_code:
        facts["code"] = protocol.backbone_code
    if model.pretrained.file:
        facts["pretrained"] = {"sha256": model.pretrained.sha256}
    return facts


def _peak_memory() -> int | None:
    """Largest resident size of this process so far, bytes; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
