"""Prints the peak resident memory, in bytes, of training and testing three experts on CIFAR-100-LT."""

from __future__ import annotations

import resource
import sys

import torch

from benchmarks import material as materials
from benchmarks.published import Published
from benchmarks.rows_testing import Tested
from benchmarks.rows_training import Trainer


def main() -> None:
    material = materials.load(None, 1)
    Trainer(material, "sade").run(6)
    mean, std = material.normalisation()
    tested = Tested.build(material, Published(mean.tolist(), std.tolist()))
    tested.logits(material.test[:1280])
    stored = [torch.zeros(2, 10_000, 3, 100) for _ in range(material.protocol.views.pairs)]
    assert all(pair.sum() == 0 for pair in stored)  # touched, hence resident
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)


if __name__ == "__main__":
    main()
