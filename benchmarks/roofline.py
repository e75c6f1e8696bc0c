"""How near training comes to what the machine can do: operations and bytes counted, limits measured.

A training step does three times the multiply-accumulates of a forward pass (forward, gradient of the
input, gradient of the weights), two operations each. The bytes are those of activations that do not
stay in a cache: every convolution's input and output, and BatchNorm's and ReLU's, are written and read
once forward and twice backward, float32.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from benchmarks.material import Material
from benchmarks.row import Row
from benchmarks.timing import Spread, seconds_of
from ltbench.method import Architecture
from ltbench.models.build import build_network, count_macs


@lru_cache(maxsize=1)
def machine_limits() -> dict[str, float]:
    """Measured: single-precision matrix product, and copying far larger than the cache."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    x = torch.ones(32_000_000)
    y = torch.empty_like(x)
    product = min(seconds_of(lambda: a @ b) for _ in range(12))
    copy = min(seconds_of(lambda: y.copy_(x)) for _ in range(6))
    return {"GFLOP/s": 2 * 1024**3 / product / 1e9, "GB/s": 8 * len(x) / copy / 1e9}


def roofline(row: Row, material: Material, method: str) -> None:
    """Adds to a training row the share of the limit and what sets it."""
    request = material.method(method).architecture()
    operations, traffic = operations_of(request), traffic_of(request)
    limits = machine_limits()
    compute = limits["GFLOP/s"] * 1e9 / operations
    memory = limits["GB/s"] * 1e9 / traffic
    bound = min(compute, memory)
    for name in [n for n in row.measured if n.startswith("ltbench") and "bf16" not in n]:
        rate = row.measured[name][1]
        row.measured[f"share of the roofline: {name}"] = ("%", rate.scaled(100 / bound))
    row.measured["roofline"] = ("images/s", Spread.of([bound]))
    row.notes.append(
        f"{operations / 1e9:.3f} GFLOP and {traffic / 1e6:.1f} MB of activations an image; this "
        f"machine multiplies matrices at {limits['GFLOP/s']:.0f} GFLOP/s and copies at "
        f"{limits['GB/s']:.0f} GB/s: {'arithmetic' if compute < memory else 'memory'} sets the limit"
    )


def operations_of(request: Architecture) -> int:
    """Of one image in a training step of ResNet-32; a multiplication and an addition are two."""
    return 6 * count_macs("resnet32", 100, request, 32)


def traffic_of(request: Architecture, bytes_each: int = 4) -> int:
    """Bytes of one image's activations in a training step. bytes_each: of a number, 2 for bfloat16."""
    return 3 * bytes_each * 2 * _activations(request)


def _activations(request: Architecture) -> int:
    """Values that convolutions and BatchNorms of one image put out."""
    network = build_network("resnet32", 100, request, torch.Generator().manual_seed(0))
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 32, 32))
    return total
