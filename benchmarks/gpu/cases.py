"""What is measured: a method, how it is trained, and what else trains beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ltbench.train.speed import no_compiler, parse_speed
from ltbench.trial.environment import bf16_is_native

ALONE, STREAMS, PROCESSES, MPS = "alone", "streams", "processes", "mps"
"""``streams``: trials as threads of one process, each on a CUDA stream of its own."""
MPS_CONTROL = "nvidia-cuda-mps-control"


@dataclass(frozen=True)
class Case:
    """speed: as ``--speed`` takes it; trials: side by side; apart: in a process of its own, which can be
    ended where compiling takes too long; seconds: what it may take, a rough estimate for an H200."""

    method: str
    speed: str
    bf16: bool = False
    how: str = ALONE
    trials: int = 1
    apart: bool = False
    seconds: float = 6.0

    @property
    def name(self) -> str:
        precision = "bf16" if self.bf16 else "float32"
        beside = "" if self.how == ALONE else f", {self.trials} as {self.how}"
        return f"{self.method} {self.speed} {precision}{beside}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Case:
        return cls(**found)


METHODS = ("ce", "sade")


def cases() -> Iterator[Case]:
    """All of them, what tells most first: the end may be cut off."""
    for method in METHODS:
        for speed, seconds in (("plain", 9.0), ("graph", 5.0)):
            for bf16 in (False, True):
                yield Case(method, speed, bf16, seconds=seconds)
    for bf16 in (False, True):
        yield Case("sade", "graph+grouped", bf16)
    for trials in (2, 4, 8):
        yield Case("sade", "graph", how=STREAMS, trials=trials, seconds=8 + trials)
    for how in (MPS, PROCESSES):
        yield Case("sade", "graph", how=how, trials=4, seconds=20)
    for method in METHODS:
        yield Case(method, "graph+compile", apart=True, seconds=45)
    yield Case("ce", "graph+augment", apart=True, seconds=25)
    for how in (STREAMS, MPS, PROCESSES):
        yield Case("ce", "graph", how=how, trials=4, seconds=20)
    for trials in (2, 8):
        for how in (MPS, PROCESSES):
            yield Case("sade", "graph", how=how, trials=trials, seconds=16 + trials)
    for trials in (2, 8):
        for how in (STREAMS, MPS, PROCESSES):
            yield Case("ce", "graph", how=how, trials=trials, seconds=16 + trials)
    for how in (STREAMS, MPS):
        yield Case("sade", "graph", bf16=True, how=how, trials=4, seconds=20)
    for method in METHODS:
        yield Case(method, "graph+compile", bf16=True, apart=True, seconds=45)
        for bf16 in (False, True):
            yield Case(method, "compile", bf16, apart=True, seconds=30)
    yield Case("sade", "graph+augment", apart=True, seconds=25)
    for how in (PROCESSES, MPS):  # what one trial loses by being a process under it
        yield Case("sade", "graph", how=how, trials=1, seconds=15)


def tiny_cases() -> Iterator[Case]:
    """On a CPU in seconds; what it cannot do is named all the same."""
    for method in METHODS:
        for bf16 in (False, True):
            yield Case(method, "plain", bf16, seconds=1)
        yield Case(method, "graph")
    yield Case("sade", "grouped", seconds=1)
    yield Case("sade", "plain", how=STREAMS, trials=2, seconds=1)
    yield Case("ce", "plain", how=PROCESSES, trials=2, seconds=1)
    yield Case("ce", "plain", how=MPS, trials=2)
    yield Case("ce", "compile", apart=True)
    yield Case("ce", "augment", apart=True)


def missing(case: Case, device: torch.device, *, tiny: bool) -> str:
    """Why ``case`` cannot be measured here; empty where it can."""
    words = parse_speed(case.speed)
    if device.type != "cuda" and ("graph" in words or case.how == MPS):
        return "it needs a CUDA device"
    if case.how == MPS and shutil.which(MPS_CONTROL) is None:
        return f"{MPS_CONTROL} is not here"
    if case.bf16 and not bf16_is_native(device):
        return "this device emulates bfloat16"
    if words & {"compile", "augment"}:
        return "--tiny compiles nothing" if tiny else no_compiler(device.type)
    return ""
