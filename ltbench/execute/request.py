"""What a user asks for: the command line and :func:`ltbench.run` both make a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import Protocol


@dataclass(frozen=True)
class Request:
    """What a user asks for; the command line and :func:`ltbench.run` both make one."""

    methods: str
    protocol: str
    seeds: tuple[int, ...] | None = None
    results: Path = Path("results")
    data_dir: Path | None = None
    device: str = "auto"
    precision: str = "default"
    jobs: int | None = None
    jobs_per_gpu: int | str | None = None
    loaders: int | None = None
    """Processes beside each trial that open streamed images; None: ``LTBENCH_LOADERS``, by the device."""
    speed: str = "auto"
    processes: int = 1
    """That train each trial together."""
    accumulate: int = 1
    """Parts in which each of these works off its share of a batch."""
    plugins: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "clean"
    arrivals: tuple[str, ...] = ()
    train: bool = True
    dry_run: bool = False
    mixed_recipe: bool = False
    """Whether an ensemble may have members of different recipes."""
    engine: str = "local"
    engine_settings: Mapping[str, Any] = field(default_factory=dict)
    detach: bool = False
    """Whether trials are left running on the engine, which the same request collects later."""
    timeout: str = ""
    """Of each trial, a number with its unit: ``90m``; empty: none."""
    track: tuple[str, ...] = ()
    """Trackers that are told how trials go."""
    command: tuple[str, ...] = ()
    """What asks for the same again; empty: ``ltbench run`` or ``evaluate``."""

    def load_protocol(self) -> Protocol:
        return load_protocol_config(self.protocol, self.overrides, plugins=self.plugins)
