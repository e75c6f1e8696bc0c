"""The real CIFAR-100, end to end: read, one short training, every distribution, report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CIFAR100 = Path(os.environ.get("LTBENCH_CIFAR100", ROOT.parent / "shared" / "data" / "cifar100"))

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not CIFAR100.is_dir(),
        reason=f"needs CIFAR-100: set LTBENCH_CIFAR100 (looked in {CIFAR100})",
    ),
]

SIZES = {"forward50": 2486, "forward25": 2956, "forward10": 3876, "forward5": 4932}
SIZES |= {"forward2": 7166, "uniform": 10000, "backward2": 7166, "backward5": 4932}
SIZES |= {"backward10": 3876, "backward25": 2956, "backward50": 2486}
SIZES |= {"many-only": 3500, "medium-only": 3500, "few-only": 3000}


def test_a_small_network_end_to_end(
    ltbench_here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    small = ["--set", "model.backbone=resnet8", "--set", "recipe.epochs=1", "--set", "test.draws=2"]
    small += ["--set", "recipe.warmup_epochs=0"]
    done = ltbench_here(
        "run", "--methods", "ce", "--protocol", "cifar100-lt", "--seeds", "1", *small,
        "--data-dir", CIFAR100, "--results", results,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    (record,) = [
        json.loads(path.read_text())
        for path in results.glob("cifar100-lt/ce/*/evaluations/ce+none-*.json")
    ]
    distributions = record["distributions"]
    assert {name: d["draws"]["0"]["n"] for name, d in distributions.items()} == SIZES
    assert [len(record["groups"][g]) for g in ("many", "medium", "few")] == [35, 35, 30]
    assert sum(record["train_counts"]) == 10847
    # An epoch learns something: a guess has 1 % on the uniform set, and the head comes first.
    top1 = {name: d["draws"]["0"]["top1"] for name, d in distributions.items()}
    assert top1["uniform"] > 2
    assert top1["forward50"] > top1["uniform"] > top1["backward50"]

    done = ltbench_here("report", "--results", results, "--no-figures")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (results / "report").is_dir()
