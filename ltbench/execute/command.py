"""The command line that asks for the same again, as words for the shell. Needs no torch.

The results folder is left out: whoever shows the command knows where it lies now.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.settings import show

if TYPE_CHECKING:
    from ltbench.execute.request import Request


def run_command(request: Request) -> tuple[str, ...]:
    """``ltbench run ...`` or, where nothing may be trained, ``ltbench evaluate ...``."""
    verb = "run" if request.train else "evaluate"
    words = ["ltbench", verb, "--methods", request.methods, *_protocol(request)]
    words += [*_seeds(request.seeds), *_overrides(request.overrides), *_running(request)]
    if request.mode != "clean":
        words += ["--mode", request.mode]
    for arrival in request.arrivals:
        words += ["--arrival", arrival]
    if request.mixed_recipe:
        words.append("--mixed-recipe")
    return (*words, *_plugins(request.plugins))


def tune_command(request: Request, method: str, grid: Sequence[str]) -> tuple[str, ...]:
    """``ltbench tune ...``."""
    words = ["ltbench", "tune", method, *_protocol(request)]
    for axis in grid:
        words += ["--grid", axis]
    words += [*_seeds(request.seeds), *_overrides(request.overrides), *_running(request)]
    return (*words, *_plugins(request.plugins))


def shown(command: Sequence[str], results: Path) -> str:
    """The command with its results folder, to be pasted into a shell."""
    words = list(command)
    if str(results) != "results":
        words += ["--results", str(results)]
    return shlex.join(words)


def _protocol(request: Request) -> list[str]:
    name = request.protocol
    return ["--protocol", _absolute(name) if name.endswith(".toml") else name]


def _seeds(seeds: tuple[int, ...] | None) -> list[str]:
    if seeds is None:
        return []
    if seeds == tuple(range(len(seeds))):
        return ["--seeds", str(len(seeds))]
    if len(seeds) == 1:  # alone it would be a count
        return ["--seeds", f"{seeds[0]}-{seeds[0]}"]
    return ["--seeds", ",".join(map(str, seeds))]


def _overrides(overrides: Mapping[str, Any]) -> Iterator[str]:
    for key, value in overrides.items():
        yield "--set"
        yield f"{key}={_as_text(value)}"


def _as_text(value: Any) -> str:
    """As an override is read; a mix as the list that a text may be."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={show(share)}" for name, share in value.items())
    return show(value)


def _running(request: Request) -> Iterator[str]:
    """Where and how, as far as it was asked for."""
    if request.data_dir is not None:
        yield from ("--data-dir", _absolute(request.data_dir))
    if request.device != "auto":
        yield from ("--device", request.device)
    if request.precision != "default":
        yield from ("--precision", request.precision)
    if request.jobs is not None:
        yield from ("--jobs", str(request.jobs))
    if request.jobs_per_gpu is not None:
        yield from ("--jobs-per-gpu", str(request.jobs_per_gpu))
    if request.loaders is not None:
        yield from ("--loaders", str(request.loaders))
    if request.processes != 1:
        yield from ("--processes", str(request.processes))
    if request.accumulate != 1:
        yield from ("--accumulate", str(request.accumulate))
    if request.timeout:
        yield from ("--timeout", request.timeout)
    if request.speed != "auto":
        yield from ("--speed", request.speed)
    for tracker in request.track:
        yield from ("--track", tracker)
    if request.engine != "local":
        yield from ("--engine", request.engine)
    for key, value in request.engine_settings.items():
        yield from ("--engine-set", f"{key}={show(value)}")


def _plugins(plugins: Sequence[str]) -> Iterator[str]:
    for plugin in plugins:
        yield from ("--plugin", _absolute(plugin))


def _absolute(path: str | Path) -> str:
    """The command may be repeated from another folder."""
    return str(Path(path).expanduser().absolute())
