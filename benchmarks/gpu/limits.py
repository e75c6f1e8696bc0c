"""What the device can do, measured: matrix products and copying, far larger than its caches."""

from __future__ import annotations

import time

import torch

from ltbench.train.arithmetic import tf32


def device_limits(device: torch.device) -> dict[str, float]:
    """``GFLOP/s float32`` (on a GPU with TF32, as convolutions have it), ``GFLOP/s bf16``, ``GB/s``."""
    cuda = device.type == "cuda"
    size, numbers = (8192, 1 << 28) if cuda else (512, 1 << 22)
    found = {}
    with tf32(convolutions=True, matrix_products=True):
        for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
            a = torch.randn(size, size, device=device).to(dtype)
            seconds = _best(lambda a=a: a @ a, device)
            found[f"GFLOP/s {name}"] = round(2 * size**3 / seconds / 1e9, 1)
    x = torch.ones(numbers, device=device)
    y = torch.empty_like(x)
    found["GB/s"] = round(8 * numbers / _best(lambda: y.copy_(x), device) / 1e9, 1)
    return found


def _best(work: object, device: torch.device) -> float:
    """Seconds of the fastest of several; waits for the device."""
    assert callable(work)
    times = []
    for _ in range(6):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - began)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
