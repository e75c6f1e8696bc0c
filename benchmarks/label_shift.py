"""The default of `em` and the first of `tilt`: from a simulation in which no real test label occurs.

    python benchmarks/label_shift.py

Plug-in classifiers on Gaussian classes: 100 classes with the counts of CIFAR-100-LT, unit Gaussians in
20 dimensions; class means are known up to the error that n_j training images leave (1/sqrt(n_j)), so that
tail classes are known worst; log-likelihoods are multiplied by a sharpness (1: right, 1.5: overconfident,
0.7: underconfident). Prints top-1 per test distribution, mean over seeds, for every candidate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ltbench import get_method, get_strategy
from ltbench.shift.profiles import exponential_counts
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest

CLASSES, DIMENSIONS, SEPARATION, SEEDS = 100, 20, 0.75, 2
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("oracle", {}),
    *(("em", {"map": value}) for value in (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)),
    *(("tilt", {"degree": degree, "fallback": False}) for degree in (1, 2, 3)),
    *(("tilt", {"degree": degree, "fallback": True}) for degree in (1, 2)),
]


def profile(ratio: float) -> Tensor:
    return torch.from_numpy(exponential_counts(100, ratio, CLASSES))


def test_counts() -> dict[str, Tensor]:
    label = torch.arange(CLASSES)
    order = torch.randperm(CLASSES, generator=torch.Generator().manual_seed(7))
    return {
        **{f"F{ratio}": profile(ratio) for ratio in (50, 10, 2)},
        "U": profile(1),
        **{f"B{ratio}": profile(ratio).flip(0) for ratio in (2, 10, 50)},
        "many": (label < 35) * 100,
        "medium": ((label >= 35) & (label < 70)) * 100,
        "few": (label >= 70) * 100,
        "permuted50": profile(50)[order],
    }


def accuracies(sharpness: float, seed: int) -> dict[str, list[float]]:
    """Top-1 of every row on every test distribution."""
    rng = torch.Generator().manual_seed(seed)
    means = SEPARATION * torch.randn(CLASSES, DIMENSIONS, generator=rng).double()
    counts = torch.from_numpy(exponential_counts(500, 100, CLASSES))
    error = torch.randn(CLASSES, DIMENSIONS, generator=rng).double()
    learned = means + error / counts.double().sqrt()[:, None]
    method = get_method("ce", counts)
    source = Source(method, method.bias(), "closed-form", OptimizerSettings(0.1, 0.9, True, 5e-4))
    log_pi = (counts / counts.sum()).log()
    found: dict[str, list[float]] = {"corrected mean": []}
    for wanted in test_counts().values():
        labels = torch.repeat_interleave(torch.arange(CLASSES), wanted)
        x = means[labels] + torch.randn(len(labels), DIMENSIONS, generator=rng).double()
        scores = -0.5 * sharpness * torch.cdist(x, learned).square()
        hits = scores.argmax(1) == labels
        found["corrected mean"].append(100 * hits.double().mean().item())
        logits = (scores + log_pi).float()[:, None]
        test = UnlabelledTest(logits, true_prior=wanted / wanted.sum())
        for name, hyper in ROWS:
            strategy = get_strategy(name, **hyper)
            adapted = strategy.adapt(test, source, torch.Generator().manual_seed(0))
            hits = adapted.logits.argmax(1) == labels
            row = f"{name} {hyper or ''}"
            found.setdefault(row, []).append(100 * hits.double().mean().item())
    return found


def main() -> None:
    for sharpness in (1.0, 1.5, 0.7):
        runs = [accuracies(sharpness, seed) for seed in range(SEEDS)]
        print(
            f"\nsharpness {sharpness:g}".ljust(42), *(f"{n:>10}" for n in test_counts()), "  mean"
        )
        for row in runs[0]:
            values = torch.tensor([run[row] for run in runs]).mean(dim=0)
            cells = (f"{value:10.1f}" for value in values.tolist())
            print(row.ljust(41), *cells, f"{values.mean().item():6.2f}", flush=True)


if __name__ == "__main__":
    main()
