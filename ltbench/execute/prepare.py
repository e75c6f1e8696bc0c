"""From a request to a plan: names, overrides, data; everything checked before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ltbench.contract.gate import refuse_unsound, refuse_unsound_backbone
from ltbench.data.cache import cache_root
from ltbench.data.dataset import Splits
from ltbench.data.locate import locate
from ltbench.data.sources import is_ready, open_data
from ltbench.errors import InputError
from ltbench.execute.all_methods import unless_left_out, with_all
from ltbench.execute.choose_engine import choose_engine
from ltbench.execute.command import run_command
from ltbench.execute.engine import Sharing
from ltbench.execute.job import Settings
from ltbench.execute.measured_rates import read_rates
from ltbench.execute.plan import Plan, make_plan
from ltbench.execute.plugin_hint import resolve_with_hint
from ltbench.execute.request import Request
from ltbench.execute.resources import AUTO, visible_gpus
from ltbench.execute.time_limit import limit_seconds
from ltbench.execute.tracking import choose_trackers
from ltbench.names import Row, parse_rows
from ltbench.protocol.protocol import Protocol
from ltbench.protocol.seed_list import check_seeds
from ltbench.protocol.weights_file import check_digest
from ltbench.registry import Registries, Registry, load_backbones, load_registries
from ltbench.resolve.rows import ResolvedRow
from ltbench.shift.arrival import parse_arrival
from ltbench.train.arithmetic import PRECISIONS, stored_precision
from ltbench.train.speed import check_compiler, check_speed, parse_speed, resolve_speed
from ltbench.trial.environment import bf16_is_native, resolve_device

MODES = ("clean", "augmented")
_MOST_LOADERS = 256


def prepare(request: Request, report: Callable[[str, int, int], None] | None = None) -> Plan:
    """Checks the request, opens the images and makes the plan; starts no training.

    A dry run downloads and writes nothing: where the images are absent the plan says that states
    are unknown. Raises :class:`InputError` with one line.
    """
    rows = parse_rows(request.methods)
    for name, value, allowed in (
        ("precision", request.precision, PRECISIONS),
        ("mode", request.mode, MODES),
    ):
        if value not in allowed:
            raise InputError(f"{name} {value!r} must be one of: {', '.join(allowed)}")
    for name, number in (
        ("jobs", request.jobs),
        ("jobs per GPU", None if request.jobs_per_gpu == AUTO else request.jobs_per_gpu),
        ("processes", request.processes),
        ("accumulate", request.accumulate),
    ):
        if number is not None and (type(number) is not int or number < 1):
            raise InputError(f"{name} = {number!r} must be a whole number of at least 1")
    loaders = _loaders(request.loaders)
    timeout = limit_seconds(request.timeout)
    engine = choose_engine(request.engine, request.engine_settings)
    if timeout and not getattr(engine, "limits_time", False):
        own = "; --engine-set time=MINUTES is its own limit" if request.engine == "slurm" else ""
        raise InputError(f"--timeout is for the local engine, not for {request.engine!r}{own}")
    if request.detach and not engine.detachable:
        raise InputError(
            f"trials on the engine {request.engine!r} end with this process: --detach does not go there"
        )
    trackers = choose_trackers(request.track)
    # Elsewhere the word stands until the trial is there.
    device = str(resolve_device(request.device)) if engine.here else request.device
    kind = engine.device(request.device)
    if kind != "cuda" and request.jobs_per_gpu is not None:
        raise InputError(f"--jobs-per-gpu needs a CUDA device; this run uses {device}")
    if request.jobs_per_gpu == AUTO:
        _check_threads(request, timeout)
    precision = stored_precision(request.precision, kind)
    check_speed(request.speed, kind, divided=_divides(request))
    if engine.here:
        check_compiler(resolve_speed(request.speed, kind), kind)
    if request.processes > 1:
        _check_division(request, kind, device if engine.here else "")
    registries = load_registries(request.plugins)
    protocol = request.load_protocol()
    if request.seeds is not None and "seeds" in request.overrides:
        raise InputError("seeds are given twice, by the request and as an override; give one")
    seeds = request.seeds if request.seeds is not None else protocol.seeds
    check_seeds(seeds)
    # Names and folders first: nobody waits for a download to hear of a typing error.
    rows, left_out = with_all(rows, protocol, registries)
    for arrival in request.arrivals:
        parse_arrival(arrival)
    _check_settings(protocol, registries)
    refuse_unsound_backbone(load_backbones(request.plugins).get(protocol.model.backbone))
    if protocol.model.pretrained.file:
        check_digest(Path(protocol.model.pretrained.file), protocol.model.pretrained.sha256)
    rows, resolved = _sound(rows, protocol, registries, request.results, left_out)
    if not request.dry_run:
        _check_folders(request, resolved)
    splits = _open(request, protocol, report)
    settings = Settings(
        results=str(request.results),
        data_dir=str(request.data_dir) if request.data_dir else None,
        device=device,
        precision=precision,
        speed=request.speed,
        processes=request.processes,
        accumulate=request.accumulate,
        plugins=tuple(str(Path(p).resolve()) for p in request.plugins if p.endswith(".py")),
        mode=request.mode,
        arrivals=tuple(dict.fromkeys(parse_arrival(text).name for text in request.arrivals)),
        train=request.train,
        checkpoint_seconds=_checkpoint_seconds(),
        loaders=loaders,
        mixed_recipe=request.mixed_recipe,
        command=request.command or run_command(request),
        engine=request.engine,
        timeout=timeout,
    )

    def sharing(trials: int, memory: int) -> tuple[int, int]:
        asked = Sharing(
            request.jobs, request.jobs_per_gpu, trials, request.device, memory, request.processes
        )
        return engine.share(asked)

    rates = read_rates(torch.device(device)) if engine.here else None
    plan = make_plan(
        *(rows, protocol, seeds, registries, splits, settings, sharing, kind, left_out), rates=rates
    )
    plan.engine, plan.detach = engine, request.detach
    plan.jobs_per_gpu, plan.trackers = request.jobs_per_gpu, trackers
    if request.precision == "bf16" and engine.here and not bf16_is_native(torch.device(device)):
        plan.notes.append(
            "this CPU has no bfloat16 instructions: training in bf16 is many times slower than in "
            "float32 here"
        )
    return plan


def _check_threads(request: Request, timeout: float) -> None:
    """Of trials that are threads of one process. Raises :class:`InputError`, one line."""
    if request.engine != "local":
        raise InputError(f"--jobs-per-gpu auto is for the local engine, not for {request.engine!r}")
    compiles = parse_speed(request.speed) & {"compile", "augment"}
    given = [
        (
            f"--speed {request.speed}",
            bool(compiles),
            "compilers are not for several threads at once",
        ),
        ("--timeout", bool(timeout), "a thread cannot be ended"),
    ]
    for option, asked, why in given:
        if asked:
            raise InputError(
                f"--jobs-per-gpu auto and {option} do not go together ({why}); give --jobs-per-gpu a number"
            )


def _divides(request: Request) -> str:
    """The option that divides each step; empty: none."""
    if request.processes > 1:
        return "--processes"
    return "--accumulate" if request.accumulate > 1 else ""


def _check_division(request: Request, kind: str, here: str) -> None:
    """Of several processes a trial. here: the device, where it is this machine's."""
    if request.jobs_per_gpu is not None:
        raise InputError(
            "--processes gives a trial several GPUs and --jobs-per-gpu a GPU several trials; give one"
        )
    if kind not in ("cpu", "cuda"):
        raise InputError(f"--processes needs --device cpu or cuda; this run uses {kind}")
    if ":" in request.device:
        raise InputError(
            f"--processes takes a GPU for each, and --device {request.device} is one; give --device cuda"
        )
    found = len(visible_gpus(torch.device(here))) if here and kind == "cuda" else request.processes
    if request.processes > found:
        raise InputError(f"--processes {request.processes} needs as many GPUs; {found} are here")


def _sound(
    rows: Sequence[Row],
    protocol: Protocol,
    registries: Registries,
    results: Path,
    left_out: list[str],
) -> tuple[list[Row], list[ResolvedRow]]:
    """The rows whose names are known and whose plugins give right numbers, as asked for and resolved."""

    def sound(row: Row) -> ResolvedRow:
        resolved = resolve_with_hint(row, protocol, registries, results)
        refuse_unsound([resolved], registries)
        return resolved

    tried = [(row, unless_left_out(row, left_out, partial(sound, row))) for row in rows]
    kept = [(row, resolved) for row, resolved in tried if resolved is not None]
    return [row for row, _ in kept], [resolved for _, resolved in kept]


def _open(
    request: Request,
    protocol: Protocol,
    report: Callable[[str, int, int], None] | None,
) -> Splits | None:
    download = not request.dry_run
    # A folder that was named must be right.
    folder = locate(protocol.data, request.data_dir, request.plugins).folder
    if folder is None and not download and not is_ready(protocol.data, plugins=request.plugins):
        return None
    return open_data(
        protocol.data,
        request.data_dir,
        download=download,
        report=report,
        plugins=request.plugins,
    )


def _check_settings(protocol: Protocol, registries: Registries) -> None:
    """Refuses settings for what does not exist; what is broken is told when somebody asks for it."""
    settings = {name: overrides.hyper for name, overrides in protocol.methods.items()}
    asked: tuple[tuple[Registry[Any], Mapping[str, dict[str, Any]]], ...] = (
        (registries.methods, settings),
        (registries.strategies, protocol.strategies),
    )
    for registry, by_name in asked:
        for name, hyper in by_name.items():
            if name not in registry.broken and name not in registry.clashes:
                registry.get(name).cls.hyper_type.from_mapping(hyper, name)


def _checkpoint_seconds() -> float:
    """Seconds between checkpoints; ``LTBENCH_CHECKPOINT_SECONDS=0`` writes one after every epoch."""
    text = os.environ.get("LTBENCH_CHECKPOINT_SECONDS", "15")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"LTBENCH_CHECKPOINT_SECONDS = {text!r} must be a number") from None


def _check_folders(request: Request, rows: Sequence[ResolvedRow]) -> None:
    """Where nothing can be written, that is said before training, not after."""
    if not request.train and not request.results.is_dir():
        raise InputError(f"results folder {request.results} does not exist; `ltbench run` makes it")
    _check_writable(request.results, "results folder")
    if any("views" in row.needs for row in rows):
        _check_writable(cache_root(), "cache folder (LTBENCH_CACHE)")


def _check_writable(folder: Path, what: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{what} {folder} is not writable: {reason}") from None


def _loaders(asked: int | None) -> int | None:
    """As asked for, else ``LTBENCH_LOADERS``, which holds for a machine; None: by the device."""
    if asked is not None:
        if type(asked) is not int or not 0 <= asked <= _MOST_LOADERS:
            raise InputError(
                f"loaders = {asked!r} must be a whole number from 0 to {_MOST_LOADERS}"
            )
        return asked
    text = os.environ.get("LTBENCH_LOADERS", "")
    if text and not (text.isascii() and text.isdecimal() and int(text) <= _MOST_LOADERS):
        raise InputError(
            f"LTBENCH_LOADERS = {text!r} must be a whole number from 0 to {_MOST_LOADERS}"
        )
    return int(text) if text else None
