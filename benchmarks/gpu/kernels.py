"""Where the device's time goes, by the names that kernels and operators have in torch's profiler."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.cases import Case
from benchmarks.gpu.training import Set
from ltbench.errors import InterruptedRun
from ltbench.train.loop import Hooks, train

RULES = (
    ("compiled", ("triton_",)),
    ("optimiser", ("multi_tensor_apply", "fused_sgd", "fusedsgd")),
    ("norm", ("batch_norm", "batchnorm", "bn_fw", "bn_bw")),
    (
        "copy",
        (
            *("memcpy", "memset", "copy", "fill", "catarray", "::cat", "zero_", "clone", "stack"),
            *("nchwtonhwc", "nhwctonchw", "_to_copy"),
        ),
    ),
    ("convolution", ("conv", "fprop", "dgrad", "wgrad", "winograd", "cudnn")),
    (
        "matrix product",
        ("gemm", "gemv", "nvjet", "splitk", "cublas", "aten::mm", "aten::bmm", "addmm"),
    ),
    ("reduction", ("reduce", "softmax", "nll_loss", "aten::sum", "aten::mean", "norm", "pool")),
    (
        "elementwise",
        (
            *("elementwise", "gather", "scatter", "index", "aten::add", "aten::mul", "aten::div"),
            *("aten::sub", "relu", "threshold", "where", "aten::bitwise", "aten::neg", "rshift"),
        ),
    ),
)
"""Class and what one of its names contains, in small letters; the first that fits counts. ``compiled``:
what torch.compile made of several classes."""
CLASSES = (*(name for name, _ in RULES), "other")


def class_of(kernel: str) -> str:
    low = kernel.lower()
    return next((name for name, parts in RULES if any(part in low for part in parts)), "other")


class _Watch:
    """Profiles the third epoch: by then a training does nothing for the first time."""

    def __init__(self, activity: ProfilerActivity) -> None:
        self.profile = profile(activities=[activity])
        self._epochs = 0

    def on_epoch(self, record: dict[str, Any]) -> None:
        self._epochs += 1
        if self._epochs == 2:
            self.profile.start()
        elif self._epochs == 3:
            self.profile.stop()

    def should_stop(self) -> bool:
        return self._epochs >= 3


def profiled(data: Set, case: Case, device: torch.device, *, batches: int) -> dict[str, Any]:
    """Microseconds of a step by class, kernels of a step, and the names that take most of ``other``.

    On a CPU operators, by the time that is their own, take the place of kernels.
    """
    cuda = device.type == "cuda"
    watch = _Watch(ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU)
    part = data.part(batches)
    with suppress(InterruptedRun):
        train(part.job(case, device), Hooks(watch.on_epoch, watch.should_stop), {})
    spent: Counter[str] = Counter()
    times: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for name, microseconds in _events(watch.profile, cuda=cuda):
        kind = class_of(name)
        spent[kind] += microseconds
        times[kind] += 1
        if kind == "other":
            unknown[name[:80]] += microseconds
    steps = len(part.labels) // part.recipe.batch_size
    total = sum(spent.values())
    if not total:
        raise RuntimeError("the profiler saw no kernel")
    return {
        "us_per_step": {kind: round(spent[kind] / steps, 1) for kind in CLASSES},
        "per_step": {kind: round(times[kind] / steps, 1) for kind in CLASSES},
        "total_us_per_step": round(total / steps, 1),
        "kernels_per_step": round(sum(times.values()) / steps, 1),
        "most_of_other": [name for name, _ in unknown.most_common(5)],
        "counted": "kernels" if cuda else "operators",
    }


def _events(done: profile, *, cuda: bool) -> list[tuple[str, float]]:
    events = done.events() or []
    if cuda:
        return [
            (e.name, e.time_range.elapsed_us())
            for e in events
            if e.device_type == DeviceType.CUDA and not getattr(e, "is_user_annotation", False)
        ]
    return [
        (e.name, e.self_cpu_time_total) for e in events if e.name.startswith(("aten::", "mkldnn"))
    ]
