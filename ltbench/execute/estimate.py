"""How long a trial may take and how much disk it needs: rough, and said to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from ltbench.backbone import ChosenBackbone
from ltbench.evaluate.large_logits import is_large
from ltbench.execute.job import Settings
from ltbench.execute.measured_rates import MeasuredRates
from ltbench.method import Architecture
from ltbench.models.build import network_cost
from ltbench.models.chosen import chosen_backbone
from ltbench.protocol.protocol import FEATURES, FROZEN, LISTS
from ltbench.resolve.rows import ResolvedRow
from ltbench.train.division import divide
from ltbench.train.speed import resolve_speed
from ltbench.trial import store
from ltbench.trial.trial import Trial

# Measured on a shared server CPU: multiply-accumulates a second in training, with one thread; two
# threads of one trial are 1.5 times as fast.
_CPU_MACS = 26e9
_CPU_SCALING = 0.6
_CPU_STEP_SECONDS = 0.004  # what a step costs besides its arithmetic, for each expert
_FEATURE_STEP_SECONDS = 0.0003  # the same of a head on frozen features
# Measured on one NVIDIA H200 in a process alone (torch 2.11, float32, ResNet-32, 128 images of 32x32):
# seconds of a training step with one head and with three experts.
_GPU_STEP_SECONDS = {"graph": (0.0051, 0.0079), "eager": (0.0101, 0.0238)}
_GPU_MACS = 1e13  # multiply-accumulates a second of large layers, assumed and not measured
_PROCESS_BYTES = 1 << 30  # of Python, torch and its buffers
_VIEW_SECONDS = 0.0004  # one augmented view image, made once for a data set
_NETWORK_PASSES = 36  # forward passes over the test images: 12 CIFAR sets, two orders, a step each
_STRATEGY_SECONDS = 12.0  # stability over all draws of eleven distributions of CIFAR size


SIBLING, MACHINE, ROUGH = "sibling", "machine", "rough"
_BASES = {
    SIBLING: "measured on finished trials of it",
    MACHINE: "measured on this machine",
    ROUGH: "a rough estimate",
}
"""How a training's time is known: by a finished trial beside it, by trainings of its kind that this machine
has done (:mod:`ltbench.execute.measured_rates`), by the constants above."""


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes still to come. ``basis``: what those of the training stand on, ``sibling``,
    ``machine`` or ``rough``; empty where nothing is trained. ``h200``: seconds of training alone by
    :func:`gpu_step`, None where other steps were measured."""

    seconds: float
    bytes: int
    basis: str
    h200: float | None = None


def gpu_step(experts: int, *, graph: bool) -> float:
    """Seconds of a training step on an H200, linear in the experts between what was measured."""
    one, three = _GPU_STEP_SECONDS["graph" if graph else "eager"]
    return one + (experts - 1) * (three - one) / 2


def cpu_training(
    macs: int,
    images: int,
    steps: int,
    experts: int,
    threads: int,
    step_seconds: float = _CPU_STEP_SECONDS,
) -> float:
    """Seconds to train on ``images`` images in ``steps`` steps on a CPU; macs: of one forward pass."""
    return 3 * macs * images / _cpu_rate(threads) + steps * step_seconds * experts


def _cpu_rate(threads: int) -> float:
    return float(_CPU_MACS * threads**_CPU_SCALING)


def _known_seconds(trials: Path, epochs: int) -> float | None:
    """Training seconds of a finished trial of the same method and budget in the folder ``trials``."""
    for sibling in sorted(trials.glob(f"*/{store.TRIAL}")):
        try:
            record = store.finished_trial(sibling.parent)
            if record and record["cost"]["epochs"] == epochs:
                return float(record["cost"]["seconds"]["training"])
        except (KeyError, TypeError, ValueError):
            continue
    return None


KnownSeconds = Callable[[Path, int], float | None]


def seconds_once() -> KnownSeconds:
    """Looks through each folder of trials once: for each of its trials would be quadratic in them."""
    return cache(_known_seconds)


def estimate_trial(
    trial: Trial,
    architecture: Architecture,
    rows: Sequence[ResolvedRow],
    sizes: tuple[int, int],
    state: str,
    folder: Path,
    settings: Settings,
    device: str,
    known_seconds: KnownSeconds = _known_seconds,
    rates: MeasuredRates | None = None,
    *,
    streamed: bool = False,
) -> Estimate:
    """device: where it will run, ``cpu``, ``cuda`` or ``mps``, which need not be here; known_seconds:
    as :func:`seconds_once` gives it, where there are many trials; rates: None where it will run
    elsewhere; streamed: whether images are opened one by one."""
    train_size, test_size = sizes
    protocol = trial.protocol
    frozen = protocol.model.backbone == FROZEN
    macs, parameters, _ = _network(
        _backbone(trial, settings),
        protocol.data.used_classes,
        architecture,
        protocol.data.image_size,
    )
    table = (architecture.experts, protocol.data.used_classes)
    logits = 4 * test_size * table[0] * table[1]
    views = any("views" in row.needs for row in rows)
    size = 4 * parameters + logits + 200_000 * len(rows)
    if views:
        halved = is_large(2 * test_size, *table)  # such views are stored as float16
        size += protocol.views.pairs * (logits if halved else 2 * logits)
    if state == "finished":
        size -= 4 * parameters + logits
    steps = trial.recipe.epochs * -(-train_size // trial.recipe.batch_size)
    running = sum(row.first_draw_only for row in rows) * _NETWORK_PASSES
    passes = test_size * (running + (state != "finished") + 2 * protocol.views.pairs * views)
    if device == "cpu":
        training = cpu_training(
            macs,
            train_size * trial.recipe.epochs,
            steps,
            architecture.experts,
            settings.threads,
            _FEATURE_STEP_SECONDS if frozen else _CPU_STEP_SECONDS,
        )
        rest = passes * macs / _cpu_rate(settings.threads)
    else:
        launched = steps * gpu_step(architecture.experts, graph=_recorded(trial, settings, device))
        # Large images are bound by arithmetic, small ones by the launches of their small layers.
        training = max(launched, 3 * macs * train_size * trial.recipe.epochs / _GPU_MACS)
        rest = passes * macs / _GPU_MACS
    if views:
        rest += _STRATEGY_SECONDS * min(1.0, test_size / 10_000)
        if not frozen:  # views of features are stored
            rest += 2 * protocol.views.pairs * test_size * _VIEW_SECONDS
    if rates is not None:
        measured = rates.of_rows(trial, rows, architecture.experts, settings, test_size)
        rest = rest if measured is None else measured  # with all that the rows waited for
    h200 = None
    if (protocol.model.backbone, trial.recipe.batch_size) == ("resnet32", 128):
        h200 = (state != "finished") * steps * gpu_step(architecture.experts, graph=True)
    if state == "finished":
        return Estimate(rest, size, "", h200)
    basis = ROUGH
    if (known := known_seconds(folder.parent, trial.recipe.epochs)) is not None:
        training, basis = known, SIBLING
    elif rates is not None and (
        rate := rates.of(trial, architecture.experts, settings, streamed=streamed)
    ):
        training, basis = train_size * trial.recipe.epochs / rate, MACHINE
    return Estimate(training + rest, size, basis, h200)


def told_basis(estimates: Sequence[Estimate]) -> str:
    """What the times of trainings to come stand on, in words; that of evaluations is not told."""
    counts = Counter(estimate.basis for estimate in estimates if estimate.basis)
    if counts.keys() <= {ROUGH}:
        return _BASES[ROUGH]
    if len(counts) == 1:
        return f"training time {_BASES[next(iter(counts))]}"
    parts = [f"of {counts[basis]} {words}" for basis, words in _BASES.items() if counts[basis]]
    return f"training time {', '.join(parts)}"


def training_memory(
    trial: Trial, architecture: Architecture, train_size: int, settings: Settings
) -> int:
    """Bytes that training takes at once, on the device that trains: a rough estimate.

    Weights, their gradients and momentum; what convolutions and BatchNorms of a batch put out, which
    the backward pass needs; the training images; and what a process takes anyway.
    """
    data, size = trial.protocol.data, trial.protocol.data.image_size
    _, parameters, activations = _network(
        _backbone(trial, settings), data.used_classes, architecture, size
    )
    batch = min(trial.recipe.batch_size, train_size)
    number = 2 if trial.precision == "bf16" else 4
    images = 3 * size * size * (train_size + 4 * batch)
    if data.dim is not None:  # float16; how many copies are stored is not known here
        images = data.dim * (2 * train_size + 4 * 4 * batch)
    return _PROCESS_BYTES + 3 * 4 * parameters + batch * activations * number + images


def _recorded(trial: Trial, settings: Settings, device: str) -> bool:
    """Whether steps are recorded as CUDA graphs, as far as a plan knows."""
    whole = divide(trial.recipe, settings.processes, settings.accumulate).whole
    resident = trial.protocol.data.source not in (LISTS, FEATURES)
    return resolve_speed(settings.speed, device, whole=whole, resident=resident).cuda_graph


def _backbone(trial: Trial, settings: Settings) -> ChosenBackbone:
    return chosen_backbone(trial.protocol, settings.plugins)


_network = lru_cache(maxsize=64)(network_cost)
