"""``python -m benchmarks.gpu``: what training costs on the GPU of this machine, in at most five minutes."""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import ltbench
from benchmarks.gpu.cases import ALONE, METHODS, STREAMS, Case, cases, missing, tiny_cases
from benchmarks.gpu.kernels import profiled
from benchmarks.gpu.limits import device_limits
from benchmarks.gpu.together import ROOT, processes, threads
from benchmarks.gpu.training import Clock, Set, rate
from benchmarks.roofline import operations_of, traffic_of
from ltbench.errors import InputError, describe
from ltbench.files import write_json
from ltbench.train.arithmetic import tf32
from ltbench.train.loop import cuda_facts
from ltbench.trial.environment import environment, resolve_device

PROFILED = (
    *(Case(method, speed) for method in METHODS for speed in ("plain", "graph")),
    Case("sade", "graph+grouped"),
    Case("sade", "graph", bf16=True),
)
_PROFILE_SECONDS = 5.0
_WINDOW = 2.5
"""Seconds that each is timed, after its warm-up."""


class Budget:
    """Of all measurements together. Whatever would not fit is skipped, and the reason told."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    def refuses(self, seconds: float) -> str:
        if seconds <= self.left:
            return ""
        return f"it takes about {seconds:.0f} s, and {max(0.0, self.left):.0f} s are left"


class Bench:
    """Everything measured so far, written after each measurement."""

    def __init__(self, asked: argparse.Namespace, device: torch.device, budget: Budget) -> None:
        self.asked, self.device, self.budget = asked, device, budget
        self.window = 0.2 if asked.tiny else _WINDOW
        self.data = Set.load(asked.data_dir, tiny=asked.tiny)
        self.record: dict[str, Any] = {
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "environment": environment(device) | _device_facts(device),
            "images": self.data.source,
            "training_images": len(self.data.labels),
            "batch_size": self.data.recipe.batch_size,
            "tiny": asked.tiny,
            "rates": {},
            "profiles": {},
            "skipped": {},
        }

    def run(self) -> None:
        print(f"{self.record['environment']['device']}, torch {torch.__version__}", flush=True)
        self._count()
        only = re.compile(self.asked.only)
        chosen = [c for c in (tiny_cases() if self.asked.tiny else cases()) if only.search(c.name)]
        quick = [case for case in chosen if case.how == ALONE and not case.apart]
        for case in quick:
            self._try("rates", case, case.seconds, self._rate)
        if not self.asked.no_profile:
            for case in PROFILED:
                self._try("profiles", case, _PROFILE_SECONDS, self._profile)
        for case in chosen:
            if case not in quick:
                self._try("rates", case, case.seconds, self._rate)

    def _count(self) -> None:
        self.record["counted_per_image"] = {
            method: {
                "operations": operations_of(request),
                "bytes float32": traffic_of(request),
                "bytes bf16": traffic_of(request, 2),
            }
            for method in METHODS
            for request in [ltbench.get_method(method, self.data.counts).architecture()]
        }
        self.record["limits"] = device_limits(self.device)
        print(f"limits: {self.record['limits']}", flush=True)
        self._write()

    def _try(
        self, part: str, case: Case, seconds: float, work: Callable[[Case], dict[str, Any]]
    ) -> None:
        name = case.name if part == "rates" else f"profile: {case.name}"
        why = missing(case, self.device, tiny=self.asked.tiny) or self.budget.refuses(seconds)
        if not why:
            try:
                self.record[part][case.name] = found = work(case)
                print(f"{name}: {_line(found)}", flush=True)
            except Exception as error:  # one that fails costs no other
                why = f"it failed: {describe(error)}"
        if why:
            self.record["skipped"][name] = why
            print(f"{name}: skipped, {why}", flush=True)
        self._write()

    def _rate(self, case: Case) -> dict[str, Any]:
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        began = time.monotonic()
        if case.how == STREAMS:
            each = threads(self.data, case, self.device, self.window, self.budget.left)
        elif case.how == ALONE and not case.apart:
            each = [rate(self.data, case, self.device, Clock(self.window))]
        else:
            each = processes(
                case,
                self.device,
                self.window,
                self.budget.left,
                data_dir=self.asked.data_dir,
                tiny=self.asked.tiny,
            )
        found = {
            "images_per_second": round(sum(one["images_per_second"] for one in each), 1),
            "seconds": round(time.monotonic() - began, 1),
            "each": each,
        }
        if cuda and case.how in (ALONE, STREAMS) and not case.apart:
            found["reserved_bytes"] = torch.cuda.max_memory_reserved(self.device)
        return found | self._shares(case, found["images_per_second"])

    def _shares(self, case: Case, rate: float) -> dict[str, float]:
        """Of the measured limits of arithmetic and of bandwidth, per cent."""
        precision = "bf16" if case.bf16 else "float32"
        counted, limits = self.record["counted_per_image"][case.method], self.record["limits"]
        operations = rate * counted["operations"] / (1e9 * limits[f"GFLOP/s {precision}"])
        moved = rate * counted[f"bytes {precision}"] / (1e9 * limits["GB/s"])
        return {
            "arithmetic_percent": round(100 * operations, 2),
            "bandwidth_percent": round(100 * moved, 2),
        }

    def _profile(self, case: Case) -> dict[str, Any]:
        found = profiled(self.data, case, self.device, batches=2 if self.asked.tiny else 12)
        alone = self.record["rates"].get(case.name)
        if alone is not None and self.device.type == "cuda":
            step = 1000 * alone["each"][0]["step_ms"]
            found["busy_percent"] = round(100 * found["total_us_per_step"] / step, 1)
        return found

    def _write(self) -> None:
        self.record["seconds"] = round(self.asked.seconds - self.budget.left, 1)
        if self.asked.output is not None:
            write_json(self.asked.output, json.loads(json.dumps(self.record)))


def _line(found: dict[str, Any]) -> str:
    if "us_per_step" not in found:
        return (
            f"{found['images_per_second']:,.0f} images/s; {found['arithmetic_percent']} % of the "
            f"arithmetic, {found['bandwidth_percent']} % of the bandwidth"
        )
    total = found["total_us_per_step"]
    shares = [f"{k} {100 * v / total:.0f} %" for k, v in found["us_per_step"].items() if v]
    busy = f", {found['busy_percent']} % of a step" if "busy_percent" in found else ""
    return (
        f"{found['kernels_per_step']:,.0f} {found['counted']} and {total / 1000:.3f} ms a step{busy}: "
        + ", ".join(shares)
    )


def _device_facts(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {}
    properties = torch.cuda.get_device_properties(device)
    with tf32(convolutions=True):
        facts = cuda_facts()
    return {
        **facts,
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
    }


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="the real CIFAR-100; else random images")
    parser.add_argument("--device", default="auto", help="default: auto")
    parser.add_argument(
        "--seconds", type=float, default=280.0, help="for everything together; default: 280"
    )
    parser.add_argument("--only", default="", help="rates whose name matches, e.g. 'sade graph'")
    parser.add_argument("--no-profile", action="store_true", help="leave the profiles out")
    parser.add_argument("--tiny", action="store_true", help="eight images: a test, on a CPU too")
    parser.add_argument("--output", type=Path, help="JSON; default: results/published/benchmarks")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    asked = _arguments(words)
    budget = Budget(asked.seconds)
    try:
        re.compile(asked.only)
        device = resolve_device(asked.device)
        if device.type != "cuda" and not asked.tiny:
            raise InputError(
                f"this measures a GPU, and the device is {device}; --tiny tries it out"
            )
        if asked.output is None and not asked.tiny:
            name = re.sub(r"\W+", "-", torch.cuda.get_device_name(device).lower())
            asked.output = ROOT / "results" / "published" / "benchmarks" / f"gpu-{name}.json"
        Bench(asked, device, budget).run()
    except (InputError, re.error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.output is not None:
        print(f"written to {asked.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
