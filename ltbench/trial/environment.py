"""What a trial ran on: recorded with it, never part of its identity."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltbench.errors import InputError
from ltbench.version import __version__


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, processor and threads, as JSON."""
    return {
        "ltbench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@cache
def processor_name() -> str:
    """The processor's own name where the system tells it (Linux), else the kind of machine."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    for line in told.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def bf16_is_native(device: torch.device) -> bool:
    """Whether ``device`` computes in bfloat16 itself; elsewhere it is emulated, many times slower
    than float32 (measured on a CPU with AVX2 only: 14 instead of 180 images a second)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True


def usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_device(name: str) -> torch.device:
    """``auto``: cuda, else mps, else cpu. Raises :class:`InputError` where ``name`` is not there."""
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if name.partition(":")[0] not in available:
        raise InputError(f"device {name!r} must be one of auto, cpu, cuda, mps")
    if not available[name.partition(":")[0]]:
        raise InputError(f"device {name!r} is not available here; try --device cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} must look like cuda or cuda:0") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r} is not available here; try --device cuda")
    return device
